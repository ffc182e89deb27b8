//! Binds the address to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel keeps until they are accepted: in a flood others wait in line with it, and whoever finds the
/// line full tries again after a second. The system may allow fewer (net.core.somaxconn).
const BACKLOG: u32 = 4096;

/// Listens on `address`. `[::]` takes IPv4 as well, and is `0.0.0.0` where the system has no IPv6.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a former process that have not ended yet do not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
        let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
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
