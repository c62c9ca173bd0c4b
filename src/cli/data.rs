use clap::Args;
#[derive(Args)] pub struct DataArgs {}
pub fn run(_:&DataArgs,_:bool)->crate::Result<()> {Ok(())}
