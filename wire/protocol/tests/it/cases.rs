//! botocore's protocol tests, read from the server's side.

use protocol::cases;

#[test]
fn every_case_of_the_protocols_passes() {
    let report = cases::run(include_str!("../cases.jsonl"), cases::PROTOCOLS);
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert_eq!((report.passed, report.left_out), (279, 0));
}
