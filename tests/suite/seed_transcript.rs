//! The conversation of the pattern this project began with, word for word, now answered by native commands.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, nil, ok};
use crate::support::dataset::index_entries;
use crate::support::server::Server;

#[test]
fn the_five_steps_answer_as_published() {
    for protocol in BOTH_PROTOCOLS {
        let server = Server::start();
        let mut client = server.client_speaking(protocol);
        let now = 1_700_000_000_i64;

        client.run("DEL Hello");
        assert_eq!(call!(client, "MTGET", "Hello", now), nil());
        // The script answered None here; the command says OK, as SET does.
        assert_eq!(call!(client, "MTSET", "Hello", "World", now), ok());
        assert_eq!(call!(client, "GET", "Hello"), bulk("World"));
        assert_eq!(call!(client, "MTGET", "Hello", now - 100), bulk("World"));
        assert_eq!(call!(client, "MTGET", "Hello", now + 100), nil());
        assert_eq!(index_entries(&mut client), [("Hello".to_owned(), "1700000000".to_owned())].into());
    }
}
