#![allow(missing_docs)]
#[derive(clap::Args)] pub struct Demo{} impl Demo { pub async fn run(self)->Result<(), super::failure::Failure>{Ok(())} }
