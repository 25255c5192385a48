//! `MTTIME key`.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, error, nil};
use crate::support::errors::{RESERVED, WRONG_TYPE, wrong_arity};
use crate::support::server::Server;
use crate::support::wire::Wire;

#[test]
fn answers_the_mtime_of_a_tracked_key() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET k v 100");
        assert_eq!(client.run("MTTIME k"), bulk("100"));
        client.run("MTSET k v -15");
        assert_eq!(client.run("mttime k"), bulk("-15"));
        client.run("MTSET k v 1.5");
        assert_eq!(client.run("mttime k"), bulk("1.5"));
    }
}

#[test]
fn is_null_for_a_missing_or_untracked_key() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("MTTIME nokey"), nil());
    client.run("SET plain p");
    assert_eq!(client.run("MTTIME plain"), nil());
    client.run("HSET MY_KEYSMTIME gone 5 plain garbage");
    assert_eq!(client.run("MTTIME gone"), nil(), "an entry that outlived its key");
    assert_eq!(client.run("MTTIME plain"), nil(), "an entry that is no number");
}

#[test]
fn wrong_type_arity_and_reserved_name() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    assert_eq!(client.run("MTTIME list"), error(WRONG_TYPE));
    client.run("HSET MY_KEYSMTIME list 5");
    assert_eq!(client.run("MTTIME list"), error(WRONG_TYPE));
    assert_eq!(client.run("MTTIME"), error(&wrong_arity("mttime")));
    assert_eq!(client.run("MTTIME a b"), error(&wrong_arity("mttime")));
    assert_eq!(call!(client, "MTTIME", "MY_KEYSMTIME"), error(RESERVED));
}

#[test]
fn replies_have_fixed_bytes() {
    let server = Server::start();
    server.client().run("MTSET k v 100");
    let mut wire = Wire::resp2(&server);
    wire.expect("MTTIME k", "$3\r\n100\r\n");
    wire.expect("MTTIME nokey", "$-1\r\n");
    let mut wire = Wire::resp3(&server);
    wire.expect("MTTIME k", "$3\r\n100\r\n");
    wire.expect("MTTIME nokey", "_\r\n");
}
