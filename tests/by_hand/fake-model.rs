//! A scripted model to try the bot by hand: `cargo run --example fake-model [ADDRESS]` says back what it was asked; a
//! question that is JSON (`{"name": "check_up", "arguments": {"customer_id": "19"}}`) becomes a tool call.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a tool for tests, which fails by panicking and uses a part of the fake"
)]

#[path = "../it/fake/model.rs"]
mod model;

use model::{FakeModel, Say, Setup};
use serde_json::Value;

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:11434".into());
    let listener = tokio::net::TcpListener::bind(&address).await.expect("the address is free");
    let server = FakeModel::on(listener, Setup::default(), |request, _| {
        let last = request["messages"].as_array().and_then(|m| m.last()).cloned().unwrap_or_default();
        let text = last["content"].as_str().unwrap_or_default().to_owned();
        if last["role"] == "tool" {
            return Say::Text(format!("The tool says: {text}"));
        }
        let asked = text.find('{').and_then(|at| serde_json::from_str::<Value>(text.get(at..)?.trim()).ok());
        match asked
            .as_ref()
            .and_then(|call| Some((call["name"].as_str()?.to_owned(), call["arguments"].clone())))
        {
            Some(call) => Say::Calls(vec![call]),
            None => Say::Text(format!("You said: {text}")),
        }
    });
    eprintln!("speaking as Ollama and as llama-server on {}", server.url);
    std::future::pending::<()>().await;
}
