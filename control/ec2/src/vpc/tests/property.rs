//! Random calls: no address ever has two owners, and both sides of an association agree.

use crate::vpc::{
    addresses::{self, Address},
    network_interfaces::{self as enis, NetworkInterface},
    testing::{request, s, subnet, tx, vpc},
};
use proptest::prelude::*;
use shapes::ec2 as api;
use state::{State, Tx};
use std::collections::BTreeSet;
use types::{AllocationId, NetworkInterfaceId};

#[derive(Debug, Clone)]
enum Step {
    Create { secondary: i32, last_octet: Option<u8> },
    Delete(usize),
    Lend(usize),
    TakeBack(usize),
    Allocate,
    Release(usize),
    Associate(usize, usize),
    Disassociate(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let create = (0..4, prop::option::of(0_u8..64));
    prop_oneof![
        create.prop_map(|(secondary, last_octet)| Step::Create { secondary, last_octet }),
        any::<usize>().prop_map(Step::Delete),
        any::<usize>().prop_map(Step::Lend),
        any::<usize>().prop_map(Step::TakeBack),
        Just(Step::Allocate),
        any::<usize>().prop_map(Step::Release),
        (any::<usize>(), any::<usize>()).prop_map(|(a, e)| Step::Associate(a, e)),
        any::<usize>().prop_map(Step::Disassociate),
    ]
}

fn pick<T: Copy>(from: &[T], at: usize) -> Option<T> {
    from.get(at.checked_rem(from.len())?).copied()
}

/// Does one step; that a call is refused is fine, here only what it leaves counts.
fn run(tx: &mut Tx, subnet: &str, step: Step) {
    let interfaces = tx.iter::<NetworkInterface>().map(|row| row.id).collect::<Vec<_>>();
    let elastic = tx.iter::<Address>().map(|row| row.id).collect::<Vec<_>>();
    let interface = |at| pick::<NetworkInterfaceId>(&interfaces, at);
    let address = |at| pick::<AllocationId>(&elastic, at);
    match step {
        Step::Create { secondary, last_octet } => {
            let input = api::CreateNetworkInterfaceRequest {
                subnet_id: s(subnet),
                private_ip_address: last_octet.map(|octet| format!("172.31.255.{octet}")),
                secondary_private_ip_address_count: Some(secondary),
                ..Default::default()
            };
            let _ = enis::create_network_interface(tx, &request(), input);
        }
        Step::Delete(at) => interface(at).into_iter().for_each(|id| enis::delete(tx, id)),
        Step::Lend(at) => {
            let _ = interface(at).map(|id| addresses::lend_public(tx, id));
        }
        Step::TakeBack(at) => {
            interface(at).into_iter().for_each(|id| addresses::take_back_public(tx, id));
        }
        Step::Allocate => {
            let _ = addresses::allocate_address(tx, &request(), Default::default());
        }
        Step::Release(at) => {
            let allocation_id = address(at).map(|id| id.to_string());
            let input = api::ReleaseAddressRequest { allocation_id, ..Default::default() };
            let _ = addresses::release_address(tx, &request(), input);
        }
        Step::Associate(at, to) => {
            let input = api::AssociateAddressRequest {
                allocation_id: address(at).map(|id| id.to_string()),
                network_interface_id: interface(to).map(|id| id.to_string()),
                ..Default::default()
            };
            let _ = addresses::associate_address(tx, &request(), input);
        }
        Step::Disassociate(at) => {
            let association =
                address(at).and_then(|id| tx.get::<Address>(&id)?.association.clone());
            let association_id = association.map(|association| association.id.to_string());
            let input =
                api::DisassociateAddressRequest { association_id, public_ip: None, dry_run: None };
            let _ = addresses::disassociate_address(tx, &request(), input);
        }
    }
}

fn check(state: &State) {
    let (mut private, mut public, mut macs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in state.iter::<NetworkInterface>() {
        assert!(macs.insert(row.mac), "two interfaces have the MAC {}", row.mac);
        for address in &row.addresses {
            assert!(private.insert((row.subnet, address.ip)), "two have {}", address.ip);
            let Some(translated) = &address.public else { continue };
            assert!(public.insert(translated.ip), "two have {}", translated.ip);
            if let Some((id, association)) = translated.elastic {
                let elastic = state.get::<Address>(&id).expect("the address exists");
                let there = elastic.association.as_ref().expect("it is associated");
                assert_eq!((there.id, there.interface), (association, row.id));
                assert_eq!((there.private_ip, elastic.ip), (address.ip, translated.ip));
            }
        }
    }
    for elastic in state.iter::<Address>() {
        let associated = elastic.association.is_some();
        assert_eq!(public.contains(&elastic.ip), associated, "{elastic:?}");
        if !associated {
            assert!(public.insert(elastic.ip), "two have {}", elastic.ip);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn addresses_never_double(steps in prop::collection::vec(step(), 1..80)) {
        let mut tx = tx();
        let (id, _) = crate::vpc::testing::default_network(&tx);
        let subnet = subnet(&mut tx, &id.to_string(), "172.31.255.0/26");
        for step in steps {
            run(&mut tx, &subnet, step);
            check(&tx);
        }
    }
}

#[test]
fn five_thousand_interfaces_are_made_fast() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let subnet = subnet(&mut tx, &id, "10.0.0.0/19");
    for _ in 0..5_000 {
        let input =
            api::CreateNetworkInterfaceRequest { subnet_id: s(&subnet), ..Default::default() };
        enis::create_network_interface(&mut tx, &request(), input).unwrap();
    }
    check(&tx);
}
