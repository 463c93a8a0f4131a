//! Serves an empty store in memory, for trying clients: `serve PORT`. The key is `test`, the
//! secret `test`.

use node::MemoryNode;
use s3::{FixedIdentities, Gateway, Identity, Peer, Service, Settings, SystemClock};
use std::sync::Arc;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(4567_u16);
    let identity = Identity {
        access_key: "test".into(),
        secret: "test".into(),
        session_token: None,
        account: "000000000000".into(),
        arn: "arn:aws:iam::000000000000:root".into(),
        user_id: "000000000000".into(),
        canonical_id: "a".repeat(64),
        organization: None,
        display_name: "test".into(),
        root: true,
        own: None,
    };
    let trust_any_key = std::env::args().nth(2).is_some_and(|word| word == "trust");
    let identities = FixedIdentities { identities: vec![Arc::new(identity)], trust_any_key };
    let cluster = cluster::Cluster::over(vec![Arc::new(MemoryNode::default())]);
    let settings = Settings {
        region: "us-east-1".into(),
        domains: vec!["localhost".into()],
        master_key: [42; 32],
        clock: Arc::new(SystemClock),
    };
    let gateway = Gateway::new(cluster, Arc::new(identities), settings);
    let background = gateway.clone();
    tokio::spawn(async move { background.run().await });
    let service = Service::new(gateway);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, address) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let peer = Peer { address: Some(address), vpc: None, secure: false };
            let _ = service.serve(stream, peer).await;
        });
    }
}
