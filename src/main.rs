//! Parse, dispatch, exit code: see `ebm::cli`.

/// Tensors are freed and made anew at every step; glibc would hand the pages back to the system each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(ebm::cli::main());
}
