use super::*;

#[tokio::test]
async fn five_hundred_clients_connect_before_anybody_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let_wait(&listener).expect("the system allows it");
    raise_file_limit();
    let address = listener.local_addr().expect("an address");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..500 {
        clients.spawn(tokio::net::TcpStream::connect(address));
    }
    let mut connected = Vec::new();
    while let Some(client) = clients.join_next().await {
        connected.push(client.expect("no panic").expect("it connects"));
    }
    assert_eq!(connected.len(), 500);
}

#[test]
fn the_limit_of_open_files_is_what_the_system_allows() {
    raise_file_limit();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!(limit.current, limit.maximum);
}
