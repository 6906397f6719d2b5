//! Which addresses are of this machine or of networks around it, and not of the Internet.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Whether a name says by itself that it is not of the Internet.
pub(super) fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let ends = ["localhost", "local", "internal", "lan", "intranet", "home.arpa"];
    // Addresses say it by their numbers.
    if host.parse::<IpAddr>().is_ok() {
        return false;
    }
    !host.contains('.')
        || ends.iter().any(|end| host.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether an address is of this machine or of a network that is not the Internet: loopback, private, link-local, shared
/// (RFC 6598), multicast, reserved, and the machine's own.
pub(super) fn is_local(address: IpAddr) -> bool {
    let by_range = match address {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => is_local_v6(v6),
    };
    by_range || is_own(address)
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0)
            | (192, 168, _)
    )
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_local_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Unspecified, loopback, and addresses that hold one of IPv4: mapped, translated, compatible.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => v4(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => true,
        // 6to4 and Teredo.
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, ..] => true,
        // Unique local, link-local, site-local, multicast.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff, ..] => true,
        _ => false,
    }
}

/// Whether this machine has it: then it can be bound to.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_known() {
        for local in [
            "127.0.0.1",
            "127.255.1.2",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "::7f00:1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::fb",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for public in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.169.0.1", "::ffff:8.8.8.8", "2606:4700::1111"]
        {
            assert!(!is_local(public.parse().unwrap()), "{public}");
        }
        for local in ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "router", "db.internal"] {
            assert!(is_local_name(local), "{local}");
        }
        for public in ["example.org", "local.example.org", "notlocalhost.org", "10.0.0.1", "::1"] {
            assert!(!is_local_name(public), "{public}");
        }
    }
}
