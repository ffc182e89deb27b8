//! Binds the address to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Listens on `address`. `[::]` takes IPv4 as well, and is `0.0.0.0` where the system has no IPv6.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// No such addresses at all, or none of them on any interface.
fn lacks_ipv6(error: &io::Error) -> bool {
    use nix::errno::Errno::{EADDRNOTAVAIL, EAFNOSUPPORT};
    let told = error.raw_os_error();
    told.is_some_and(|code| [EAFNOSUPPORT as i32, EADDRNOTAVAIL as i32].contains(&code))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn both_kinds_of_addresses_are_served_where_there_are_both() {
        let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut reached: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
        if address.is_ipv6() {
            reached.push(Ipv6Addr::LOCALHOST.into());
        }
        for ip in reached {
            TcpStream::connect((ip, address.port())).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().1.ip().to_canonical(), ip);
        }
    }
}
