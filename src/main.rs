//! Parse, dispatch, exit code: see `ebm::cli`.

#[global_allocator]
static ALLOCATOR: ebm::allocator::Allocator = ebm::allocator::ALLOCATOR;

fn main() {
    ebm::allocator::keep();
    std::process::exit(ebm::cli::main());
}
