//! Published diversified keys, computed from the plan alone.

use aes::{Aes128, Aes192, Aes256};
use cipher::{BlockCipherEncrypt, KeyInit};
use cmac::{Cmac, Mac};
use des::TdesEde2;
use proptest::prelude::*;
use scp::KeyLength;
use scp::keyset::diversify::{Diversified, Key, Master, Method, Plan, Primitive};
use serde_json::Value;

const VECTORS: &str = include_str!("../../tests/vectors/diversification.json");

fn cmac(key: &[u8], input: &[u8]) -> Vec<u8> {
    fn run<M: KeyInit + Mac>(key: &[u8], input: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
        mac.update(input);
        mac.finalize().into_bytes().to_vec()
    }
    match key.len() {
        16 => run::<Cmac<Aes128>>(key, input),
        24 => run::<Cmac<Aes192>>(key, input),
        _ => run::<Cmac<Aes256>>(key, input),
    }
}

/// What whoever holds the master does.
fn compute(master: &[u8], plan: &Plan) -> Vec<Vec<u8>> {
    let output = |block: &[u8]| match plan.primitive() {
        Primitive::AesCmac => cmac(master, block),
        Primitive::TripleDesEcb => {
            let cipher = TdesEde2::new_from_slice(master).unwrap();
            let mut output = block.to_vec();
            for half in output.chunks_exact_mut(8) {
                cipher.encrypt_block(half.try_into().unwrap());
            }
            output
        }
    };
    let key = |blocks: &[Vec<u8>], bits: u16| {
        let mut key: Vec<u8> = blocks.iter().flat_map(|block| output(block)).collect();
        key.truncate(usize::from(bits / 8));
        key
    };
    plan.derivations().iter().map(|it| key(&it.blocks, it.bits)).collect()
}

fn diversified(method: &Method, master: &[u8], data: &[u8]) -> Vec<Vec<u8>> {
    let length = KeyLength::from_bytes(master.len()).unwrap();
    let plan = method.plan(data.try_into().unwrap(), length).unwrap();
    assert_eq!(plan.derivations().each_ref().map(|derivation| derivation.key), Key::ALL);
    let computed: Diversified<Vec<Vec<u8>>> = plan
        .apply(Master::new(master), |master, plan| {
            Ok::<_, std::convert::Infallible>(compute(master, plan))
        })
        .unwrap();
    computed.into_inner()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn published_keys_and_check_values_come_out() {
    let entries: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut seen = 0;
    for entry in &entries {
        let method = match entry["kind"].as_str().unwrap() {
            "diversify_emv_cps" => Method::EmvCps,
            "diversify_kdf3" => Method::Kdf3,
            kind => panic!("{kind} is not tested"),
        };
        let keys = diversified(&method, &bytes(&entry["master"]), &bytes(&entry["kdd"]));
        for (key, name) in keys.iter().zip(["enc", "mac", "dek"]) {
            if entry["keys"][name].is_string() {
                assert_eq!(*key, bytes(&entry["keys"][name]), "{} {name}", entry["id"]);
                seen += 1;
            }
        }
        for (key, check_value) in keys.iter().zip(entry["kcvs"].as_array().into_iter().flatten()) {
            let computed = match method {
                Method::Kdf3 => {
                    let mut block = [1; 16].into();
                    Aes128::new_from_slice(key).unwrap().encrypt_block(&mut block);
                    block[..3].to_vec()
                }
                _ => {
                    let mut block = [0; 8].into();
                    TdesEde2::new_from_slice(key).unwrap().encrypt_block(&mut block);
                    block[..3].to_vec()
                }
            };
            assert_eq!(computed, bytes(check_value), "{}", entry["id"]);
        }
    }
    assert_eq!((entries.len(), seen), (4, 10));
}

/// No published keys are at hand; these were computed by another library.
#[test]
fn visa2_agrees_with_another_library() {
    let master: Vec<u8> = (0x40..0x50).collect();
    let keys = diversified(&Method::Visa2, &master, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let expected = [
        "8510FC973208218CA86888BCEC203635",
        "1068B5FB6F06C78C7A4DFC343B21C78F",
        "2DAEE809C71405FF259C3BE695A1F66E",
    ];
    assert_eq!(keys.iter().map(hex::encode_upper).collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn every_key_of_every_se_is_another(
        data in any::<[u8; 10]>(),
        other in any::<[u8; 10]>(),
        label in proptest::collection::vec(any::<u8>(), 0..64),
        length in prop_oneof![
            Just(KeyLength::Aes128), Just(KeyLength::Aes192), Just(KeyLength::Aes256)
        ],
    ) {
        prop_assume!(data != other);
        for method in [Method::Kdf3, Method::Sp800108 { label }] {
            let mut blocks = Vec::new();
            for data in [data, other] {
                let plan = method.plan(&data, length).unwrap();
                blocks.extend(plan.derivations().iter().flat_map(|it| it.blocks.clone()));
            }
            let all = blocks.len();
            prop_assert_eq!(all, 6 * length.bytes().div_ceil(16));
            blocks.sort();
            blocks.dedup();
            prop_assert_eq!(blocks.len(), all);
        }
    }
}
