//! Compiles the protocol of the tonic example, for a client of it.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../examples/proto";
    let files = protox::compile(["greeter.proto"], [folder])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    println!("cargo::rerun-if-changed={folder}");
    Ok(())
}
