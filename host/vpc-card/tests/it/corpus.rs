//! The fuzzers' seeds and finds, each once.

use std::path::Path;
use vpc_card::fuzz;

type Target = fn(&[u8]);

#[test]
fn the_corpus_does_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let targets: [(&str, Target); 8] = [
        ("frame", fuzz::frame),
        ("dhcp", fuzz::dhcp),
        ("dhcp6", fuzz::dhcp6),
        ("dns", fuzz::dns),
        ("dns_stream", fuzz::dns_stream),
        ("message", fuzz::message),
        ("chain", fuzz::chain),
        ("uplink", fuzz::uplink),
    ];
    for (name, target) in targets {
        let mut count = 0;
        for file in std::fs::read_dir(folder.join(name)).unwrap() {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
