//! A writer of small files in MaxMind's format, so that no file of somebody else's is needed.
//!
//! Format 2.0: a binary tree over the bits of an address, sixteen zero bytes, the values, the
//! metadata. Of the types only those that are wanted here.

use std::net::IpAddr;

/// A value.
pub enum Value {
    Text(&'static str),
    Short(u16),
    Number(u32),
    Long(u64),
    Double(f64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

use Value::{Double, List, Long, Map, Number, Short, Text};

/// What a file of cities says of a place.
pub fn city(country: &'static str, city: &'static str, at: (f64, f64), radius: u16) -> Value {
    Map(vec![
        ("country", Map(vec![("iso_code", Text(country))])),
        ("city", Map(vec![("names", Map(vec![("en", Text(city)), ("de", Text("anders"))]))])),
        (
            "location",
            Map(vec![
                ("latitude", Double(at.0)),
                ("longitude", Double(at.1)),
                ("accuracy_radius", Short(radius)),
            ]),
        ),
    ])
}

/// What a file of autonomous systems says.
pub fn asn(number: u32, name: &'static str) -> Value {
    Map(vec![("autonomous_system_number", Number(number)), ("autonomous_system_organization", Text(name))])
}

fn head(kind: u8, size: usize, into: &mut Vec<u8>) {
    assert!(size < 29 + 256, "small values only");
    let (low, more) = if size < 29 {
        (u8::try_from(size).unwrap(), None)
    } else {
        (29, Some(u8::try_from(size - 29).unwrap()))
    };
    if kind <= 7 {
        into.push(kind << 5 | low);
    } else {
        into.extend([low, kind - 7]);
    }
    into.extend(more);
}

fn encode(value: &Value, into: &mut Vec<u8>) {
    match value {
        Text(text) => {
            head(2, text.len(), into);
            into.extend(text.as_bytes());
        }
        Double(number) => {
            head(3, 8, into);
            into.extend(number.to_be_bytes());
        }
        Short(number) => {
            head(5, 2, into);
            into.extend(number.to_be_bytes());
        }
        Number(number) => {
            head(6, 4, into);
            into.extend(number.to_be_bytes());
        }
        Long(number) => {
            head(9, 8, into);
            into.extend(number.to_be_bytes());
        }
        List(values) => {
            head(11, values.len(), into);
            for value in values {
                encode(value, into);
            }
        }
        Map(entries) => {
            head(7, entries.len(), into);
            for (key, value) in entries {
                encode(&Text(key), into);
                encode(value, into);
            }
        }
    }
}

/// Where a bit of the tree leads.
#[derive(Clone, Copy)]
enum Branch {
    Nowhere,
    Node(usize),
    Value(usize),
}

/// A file whose networks are these.
pub fn file(kind: &'static str, built: u64, networks: &[(&str, Value)]) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[Branch::Nowhere; 2]], Vec::new());
    for (network, value) in networks {
        let (address, bits) = network.split_once('/').unwrap();
        let offset = data.len();
        encode(value, &mut data);
        let (bytes, extra) = match address.parse::<IpAddr>().unwrap() {
            // IPv4 stands at the beginning of the IPv6 tree.
            IpAddr::V4(v4) => (v4.to_ipv6_compatible().octets(), 96),
            IpAddr::V6(v6) => (v6.octets(), 0),
        };
        let length = bits.parse::<usize>().unwrap() + extra;
        let mut node = 0;
        for bit in 0..length {
            let side = usize::from(bytes[bit / 8] >> (7 - bit % 8) & 1);
            if bit + 1 == length {
                nodes[node][side] = Branch::Value(offset);
                break;
            }
            node = match nodes[node][side] {
                Branch::Node(next) => next,
                Branch::Nowhere | Branch::Value(_) => {
                    nodes.push([Branch::Nowhere; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Branch::Node(next);
                    next
                }
            };
        }
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for branch in nodes.iter().flatten() {
        let record = match branch {
            Branch::Nowhere => count,
            Branch::Node(node) => *node,
            Branch::Value(offset) => count + 16 + offset,
        };
        bytes.extend(&u32::try_from(record).unwrap().to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    let about = Map(vec![
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("build_epoch", Long(built)),
        ("database_type", Text(kind)),
        ("description", Map(Vec::new())),
        ("ip_version", Short(6)),
        ("languages", List(vec![Text("en")])),
        ("node_count", Number(u32::try_from(count).unwrap())),
        ("record_size", Short(32)),
    ]);
    encode(&about, &mut bytes);
    bytes
}
