//! Compiles `proto/` with protox: pure Rust, so no `protoc` is needed on the machine.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    let files = [
        root.join("switchyard/inbound/v1/webhook_event.proto"),
        root.join("switchyard/events/v1/event.proto"),
        root.join("switchyard/transport/v1/bundle.proto"),
        root.join("switchyard/campaigns/v1/tick.proto"),
        root.join("switchyard/sync/v1/tick.proto"),
    ];
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(&files, [root])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
