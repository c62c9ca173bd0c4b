//! Parse, dispatch, exit code: see `ebm::cli`.

#[global_allocator]
static ALLOCATOR: ebm::process::Allocator = ebm::process::ALLOCATOR;

fn main() {
    ebm::process::begin();
    std::process::exit(ebm::cli::main());
}
