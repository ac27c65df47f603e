//! Ollama's dialect in front of a llama-server: `OPSBOT_TEST_MODEL_URL=… cargo run --example ollama-shim [ADDRESS]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a tool for tests, which fails by panicking"
)]

#[path = "../it/fake/shim.rs"]
mod shim;

#[tokio::main]
async fn main() {
    let url = std::env::var("OPSBOT_TEST_MODEL_URL").expect("OPSBOT_TEST_MODEL_URL names the llama-server");
    let name = std::env::var("OPSBOT_TEST_MODEL_NAME").unwrap_or_else(|_| "test".into());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:11434".into());
    let listener = tokio::net::TcpListener::bind(&address).await.expect("the address is free");
    eprintln!("serving {name} as Ollama on http://{}", listener.local_addr().unwrap());
    shim::serve(listener, &url, &name).await;
}
