//! Faults as each protocol words them.

use protocol::fault;
use protocol::sigv4::SigV4Error;
use shapes::{Fault, Protocol, ec2, sts};
use types::Timestamp;

#[test]
fn faults_come_in_the_envelope_of_their_protocol() {
    let given = Fault::sender("InvalidVpcID.NotFound", "The vpc ID 'vpc-<1>' does not exist");
    let answer = fault(&ec2::SERVICE, &given, "id-1");
    assert_eq!((answer.status, answer.content_type), (400, "text/xml;charset=UTF-8"));
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>\
         <Code>InvalidVpcID.NotFound</Code>\
         <Message>The vpc ID 'vpc-&lt;1&gt;' does not exist</Message>\
         </Error></Errors><RequestID>id-1</RequestID></Response>"
    );
    let answer = fault(&sts::SERVICE, &Fault::receiver("InternalFailure", "Sorry"), "id-2");
    assert_eq!((answer.status, answer.content_type), (500, "text/xml"));
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
         <Type>Receiver</Type><Code>InternalFailure</Code><Message>Sorry</Message>\
         </Error><RequestId>id-2</RequestId></ErrorResponse>"
    );
}

#[test]
fn services_refuse_signatures_in_their_own_words() {
    let now = Timestamp::from_millis(1_440_938_160_000);
    let signed = Timestamp::from_millis(now.millis() - 3_600_000);
    let expired = SigV4Error::Expired { signed, now };
    for (error, protocol, code, status) in [
        (&SigV4Error::Mismatch, Protocol::Ec2, "AuthFailure", 401),
        (&SigV4Error::Mismatch, Protocol::Query, "SignatureDoesNotMatch", 403),
        (&SigV4Error::UnknownKey, Protocol::Ec2, "AuthFailure", 401),
        (&SigV4Error::UnknownKey, Protocol::Query, "InvalidClientTokenId", 403),
        (&SigV4Error::UnknownKey, Protocol::RestXml, "InvalidAccessKeyId", 403),
        (&SigV4Error::MissingToken, Protocol::Ec2, "MissingAuthenticationToken", 403),
        (&SigV4Error::UnknownAlgorithm, Protocol::Query, "IncompleteSignature", 400),
        (&expired, Protocol::Ec2, "RequestExpired", 400),
        (&expired, Protocol::Query, "SignatureDoesNotMatch", 403),
    ] {
        let fault = error.fault(protocol);
        assert_eq!((fault.code.as_ref(), fault.status), (code, status));
    }
    assert_eq!(
        expired.fault(Protocol::Query).message,
        "Signature expired: 20150830T113600Z is now earlier than 20150830T122100Z \
         (20150830T123600Z - 15 min.)"
    );
}
