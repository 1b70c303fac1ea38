//! Serves the demo page as a careful host would: cross-origin isolated, under a strict content security policy.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::build;
use crate::toolchain::root;

const HEADERS: [(&str, &str); 6] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    // A rebuilt page is what a reload shows.
    ("cache-control", "no-cache"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; \
         style-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'",
    ),
];

/// Builds what is not fresh, unless told not to, and serves the page until it is stopped.
pub(crate) fn demo(port: Option<u16>, open_browser: bool, build_first: bool) -> Result<()> {
    if build_first {
        build::build()?;
    }
    let page = root().join("web/dist");
    if !page.join("index.html").is_file() {
        bail!(
            "there is no built page in {}: run `cargo xtask build`",
            page.display()
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let listener = TcpListener::bind(wanted).await.with_context(|| {
            format!("cannot listen on {wanted}: give another --port, or none for a free one")
        })?;
        let address = format!("http://{}/", listener.local_addr()?);
        println!("The page is at {address} (Ctrl-C stops it).");
        if open_browser && open::that_detached(&address).is_err() {
            println!("No browser was found to open it.");
        }
        Ok(axum::serve(listener, router(page)).await?)
    })
}

fn router(page: std::path::PathBuf) -> Router {
    let mut router = Router::new().fallback_service(ServeDir::new(page));
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        router = router.layer(SetResponseHeaderLayer::overriding(
            name,
            HeaderValue::from_static(value),
        ));
    }
    router
}
