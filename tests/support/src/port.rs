//! TCP ports for nodes of tests.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// A port on 127.0.0.1 that nobody else is given while this process lives, and on which one socket can listen.
///
/// # Panics
/// The system has none.
#[must_use]
pub fn reserve() -> u16 {
    let reserved = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&reserved, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Only now, or the same port might be chosen for two. As it does not listen, another socket can that allows this too.
    set_socket_reuseaddr(&reserved, true).unwrap();
    let port = SocketAddrV4::try_from(getsockname(&reserved).unwrap()).unwrap().port();
    std::mem::forget(reserved);
    port
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_reserved_port_can_be_listened_on_and_is_given_to_nobody() {
        let port = reserve();
        // As programs do that ask for any port; more than there are would fail.
        let others: Vec<_> = (0..2000).map_while(|_| TcpListener::bind("127.0.0.1:0").ok()).collect();
        assert!(others.iter().all(|other| other.local_addr().unwrap().port() != port));
        assert_ne!(reserve(), port);
        for _ in 0..2 {
            drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
    }
}
