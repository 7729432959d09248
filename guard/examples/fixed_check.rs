//! The bare peer of the benchmark: the same accept loop and gRPC server, which reads every check and
//! gives all of them the same answer, that of a token with one claim as a header.
//!
//! `fixed_check PORT` serves it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, HeaderValueOption,
    HttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::google::rpc;
use offswitch_server::{Limits, bind};
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Fixed(CheckResponse);

#[tonic::async_trait]
impl Authorization for Fixed {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("PORT")?.parse()?;
    let service = AuthorizationServer::new(Fixed(answer()));
    let path = "/envoy.service.auth.v3.Authorization/Check";
    let router = Arc::new(ArcSwap::from_pointee(Router::new().route_service(path, service)));
    let listener = bind(([127, 0, 0, 1], port).into())?;
    offswitch_server::run(listener, router, Limits::default(), std::future::pending()).await;
    Ok(())
}

fn answer() -> CheckResponse {
    let header = HeaderValue { key: "x-user".into(), value: "user-1".into(), ..Default::default() };
    let headers = vec![HeaderValueOption { header: Some(header), ..Default::default() }];
    let passed = OkHttpResponse { headers, ..Default::default() };
    CheckResponse {
        status: Some(rpc::Status::default()),
        http_response: Some(HttpResponse::OkResponse(passed)),
        ..Default::default()
    }
}
