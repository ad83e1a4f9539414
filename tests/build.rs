//! Compiles the protocol of the tonic example, for clients of it, and for a server that rejects on request.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../examples/proto";
    let files = protox::compile(["greeter.proto"], [folder])?;
    tonic_prost_build::configure().build_server(true).compile_fds(files)?;
    println!("cargo::rerun-if-changed={folder}");
    Ok(())
}
