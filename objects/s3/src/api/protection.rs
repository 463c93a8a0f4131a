//! How objects are encrypted: which key a request asks for or brings, and how that is shown.

use crate::{
    Gateway,
    access::{Caller, parameter},
    fault,
    keys::{Asking, Context, KeyFault, PlainKey},
    store::{
        Bucket,
        crypt::{ByKms, Wrapping, WrappingKey},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Result, crypto::Checksum as _, dto};

/// The pair that binds a data key to its object, or its bucket.
const ARN: &str = "aws:s3:arn";
const METHOD: &str = "x-amz-server-side-encryption";
const CONTEXT: &str = "x-amz-server-side-encryption-context";

/// An object that is written or read, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) caller: &'a Caller,
    pub(crate) bucket: &'a Bucket,
    pub(crate) key: &'a str,
}

impl Subject<'_> {
    /// Whom KMS is to decide about: whoever signs with version 4.
    fn asking(&self) -> S3Result<Asking<'_>> {
        let Caller { identity, peer, headers, query } = self.caller;
        let signed = headers.get("authorization").and_then(|value| value.to_str().ok());
        let old = signed.is_some_and(|text| text.starts_with("AWS "))
            || (signed.is_none() && parameter(query, "AWSAccessKeyId").is_some());
        let Some(identity) = identity.as_deref().filter(|_| !old) else {
            let message = "Requests specifying Server Side Encryption with AWS KMS managed keys \
                           require AWS Signature Version 4.";
            return Err(fault::invalid_argument(message, "Authorization", "null"));
        };
        let user_agent = headers.get("user-agent").and_then(|value| value.to_str().ok());
        Ok(Asking { identity, peer: *peer, user_agent, region: &self.bucket.region })
    }

    /// The whole encryption context.
    fn context(&self, own: &Context, bucket_key: bool) -> Context {
        let name = &self.bucket.name;
        let arn = match bucket_key {
            true => format!("arn:aws:s3:::{name}"),
            false => format!("arn:aws:s3:::{name}/{}", self.key),
        };
        let mut context = own.clone();
        context.insert(ARN.to_owned(), arn);
        context
    }

    async fn generate(&self, asked: ByKey<'_>) -> S3Result<WrappingKey> {
        let ByKey { key_id, context, bucket_key } = asked;
        let (asking, whole) = (self.asking()?, self.context(&context, bucket_key));
        let keys = &self.gateway.keys;
        let made = keys.generate(asking, key_id, &whole, bucket_key).await.map_err(refused)?;
        let (key_arn, ciphertext) = (made.key_arn, made.ciphertext);
        let wrapping = Wrapping::Kms(Box::new(ByKms { key_arn, ciphertext, context, bucket_key }));
        Ok(WrappingKey { wrapping, key: made.plaintext })
    }

    /// The data key of an object, if the caller may use it.
    ///
    /// # Errors
    /// KMS refuses, or isn't there.
    pub(crate) async fn open(&self, by: &ByKms) -> S3Result<PlainKey> {
        let (asking, whole) = (self.asking()?, self.context(&by.context, by.bucket_key));
        let opened = self.gateway.keys.open(asking, &by.ciphertext, &whole, by.bucket_key);
        opened.await.map_err(refused)
    }

    /// Lets the caller see what is derived from the plaintext, such as a checksum.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn may_open(&self, wrapping: &Wrapping) -> S3Result<()> {
        match wrapping {
            Wrapping::Kms(by) => self.open(by).await.map(drop),
            Wrapping::Store | Wrapping::Customer { .. } => Ok(()),
        }
    }
}

/// What S3 makes of KMS's refusals.
fn refused(fault_below: KeyFault) -> S3Error {
    match fault_below {
        KeyFault::Refused { code, message } if code == "AccessDeniedException" => {
            fault::fault(S3ErrorCode::AccessDenied, message)
        }
        KeyFault::Refused { code, message } => {
            fault::custom(StatusCode::BAD_REQUEST, &format!("KMS.{code}"), message)
        }
        KeyFault::Away(why) => {
            log::warn!("KMS can't be asked: {why}");
            let message = "KMS is not available. Please try again.";
            fault::fault(S3ErrorCode::ServiceUnavailable, message)
        }
    }
}

/// A data key that is wanted.
struct ByKey<'a> {
    key_id: Option<&'a str>,
    context: Context,
    bucket_key: bool,
}

/// The pairs of an encryption context as a client gives them.
fn pairs_of(text: Option<&str>) -> S3Result<Context> {
    let Some(text) = text else { return Ok(Context::new()) };
    let decoded = STANDARD.decode(text).ok();
    let mut pairs = decoded.and_then(|json| serde_json::from_slice::<Context>(&json).ok());
    // It is ours in any case.
    if let Some(pairs) = &mut pairs {
        pairs.remove(ARN);
    }
    pairs.ok_or_else(|| {
        let message = format!(
            "The header '{CONTEXT}' shall be Base64-encoded UTF-8 string holding JSON which \
             represents a string-string map"
        );
        fault::invalid_argument(&message, CONTEXT, text)
    })
}

/// How a client wants an object to be encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protection<'a> {
    pub(crate) customer: Customer<'a>,
    pub(crate) method: Option<&'a str>,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) context: Option<&'a str>,
    pub(crate) bucket_key: Option<bool>,
}

/// How the client of an input wants the object to be encrypted.
macro_rules! protection_of {
    ($input:expr) => {
        $crate::api::protection::Protection {
            customer: $crate::api::protection::customer_of!($input),
            method: $input
                .server_side_encryption
                .as_ref()
                .map(s3s::dto::ServerSideEncryption::as_str),
            key_id: $input.ssekms_key_id.as_deref(),
            context: $input.ssekms_encryption_context.as_deref(),
            bucket_key: $input.bucket_key_enabled,
        }
    };
}
pub(super) use protection_of;

/// What a bucket does for those who don't say: the key's name, if there is one, and whether the
/// bucket has a key of its own.
fn default_of(bucket: &Bucket) -> Option<(Option<&str>, bool)> {
    let rule = bucket.configuration.encryption.as_ref()?.rules.first()?;
    let default = rule.apply_server_side_encryption_by_default.as_ref()?;
    (default.sse_algorithm.as_str() == "aws:kms")
        .then(|| (default.kms_master_key_id.as_deref(), rule.bucket_key_enabled == Some(true)))
}

impl Protection<'_> {
    /// The key to write an object with.
    ///
    /// # Errors
    /// What is asked for can't be; KMS refuses, or isn't there.
    pub(crate) async fn writing_key(&self, subject: Subject<'_>) -> S3Result<WrappingKey> {
        let default = default_of(subject.bucket);
        let bucket_key = self.bucket_key.or(default.map(|(_, shared)| shared)).unwrap_or(false);
        match (self.method, self.customer.key()?) {
            (Some(_), Some(_)) => {
                let message = "Server Side Encryption with Customer provided key is incompatible \
                               with the encryption method specified";
                Err(fault::invalid_argument(message, METHOD, ""))
            }
            (None, Some(key)) => Ok(key),
            (None | Some("AES256"), None) => {
                self.check_no_key()?;
                match default.filter(|_| self.method.is_none()) {
                    None => Ok(subject.gateway.store.wrapping_key()),
                    Some((key_id, _)) => {
                        let context = Context::new();
                        subject.generate(ByKey { key_id, context, bucket_key }).await
                    }
                }
            }
            (Some("aws:kms"), None) => {
                let context = pairs_of(self.context)?;
                subject.generate(ByKey { key_id: self.key_id, context, bucket_key }).await
            }
            (Some("aws:kms:dsse"), None) => {
                Err(fault::not_implemented("Dual-layer server-side encryption (aws:kms:dsse)"))
            }
            (Some(other), None) => Err(fault::invalid_argument(
                "The encryption method specified is not supported",
                METHOD,
                other,
            )),
        }
    }

    /// A key of KMS, or a context, says nothing without its method.
    fn check_no_key(&self) -> S3Result<()> {
        let key = self.key_id.map(|key| ("x-amz-server-side-encryption-aws-kms-key-id", key));
        match key.or(self.context.map(|context| (CONTEXT, context))) {
            None => Ok(()),
            Some((name, value)) => {
                let message = "Server Side Encryption with AWS KMS managed key requires HTTP \
                               header x-amz-server-side-encryption : aws:kms";
                Err(fault::invalid_argument(message, name, value))
            }
        }
    }
}

/// What a client says of its own key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Customer<'a> {
    pub(crate) algorithm: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) md5: Option<&'a str>,
}

macro_rules! customer_of {
    ($input:expr) => {
        $crate::api::protection::Customer {
            algorithm: $input.sse_customer_algorithm.as_deref(),
            key: $input.sse_customer_key.as_deref(),
            md5: $input.sse_customer_key_md5.as_deref(),
        }
    };
}
pub(super) use customer_of;

impl Customer<'_> {
    /// The client's key; none if it names none.
    pub(super) fn key(&self) -> S3Result<Option<WrappingKey>> {
        let Some(algorithm) = self.algorithm else {
            if self.key.is_some() || self.md5.is_some() {
                let message = "Requests specifying Server Side Encryption with Customer provided \
                               keys must provide a valid encryption algorithm.";
                return Err(self.wrong(message));
            }
            return Ok(None);
        };
        if algorithm != "AES256" {
            let message = "The Encryption request you specified is not valid. Supported value: \
                           AES256.";
            return Err(fault::custom(
                StatusCode::BAD_REQUEST,
                "InvalidEncryptionAlgorithmError",
                message,
            ));
        }
        let Some(key) = self.key else {
            let message = "Requests specifying Server Side Encryption with Customer provided keys \
                           must provide an appropriate secret key.";
            return Err(self.wrong(message));
        };
        let Some(said) = self.md5 else {
            let message = "Requests specifying Server Side Encryption with Customer provided keys \
                           must provide the client calculated MD5 of the secret key.";
            return Err(self.wrong(message));
        };
        let decoded = STANDARD.decode(key).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
        let Some(key) = decoded else {
            return Err(self.wrong("The secret key was invalid for the specified algorithm."));
        };
        let md5 = STANDARD.encode(s3s::crypto::Md5::checksum(&key));
        if md5 != said {
            let message = "The calculated MD5 hash of the key did not match the hash that was \
                           provided.";
            return Err(self.wrong(message));
        }
        Ok(Some(WrappingKey { wrapping: Wrapping::Customer { md5 }, key: key.into() }))
    }

    fn wrong(&self, message: &str) -> S3Error {
        fault::invalid_argument(message, "x-amz-server-side-encryption", "null")
    }

    /// The key to read an object with.
    ///
    /// # Errors
    /// It needs another one; KMS refuses, or isn't there.
    pub(super) async fn reading_key(
        &self,
        subject: Subject<'_>,
        wrapping: &Wrapping,
    ) -> S3Result<PlainKey> {
        match (wrapping, self.key()?) {
            (Wrapping::Kms(by), None) => subject.open(by).await,
            (Wrapping::Store, None) => Ok(subject.gateway.store.wrapping_key().key),
            (Wrapping::Customer { .. }, _) => {
                self.check(wrapping)?;
                self.key()?.map(|given| given.key).ok_or_else(fault::internal)
            }
            (Wrapping::Store | Wrapping::Kms(_), Some(_)) => Err(not_applicable()),
        }
    }

    /// Lets a client see an object that it brings the right key for, or that needs none of it.
    ///
    /// # Errors
    /// It needs another one.
    pub(super) fn check(&self, wrapping: &Wrapping) -> S3Result<()> {
        match (wrapping, self.key()?) {
            (Wrapping::Store | Wrapping::Kms(_), None) => Ok(()),
            (Wrapping::Store | Wrapping::Kms(_), Some(_)) => Err(not_applicable()),
            (Wrapping::Customer { .. }, None) => Err(fault::invalid_request(
                "The object was stored using a form of Server Side Encryption. The correct \
                 parameters must be provided to retrieve the object.",
            )),
            (Wrapping::Customer { md5 }, Some(given)) => {
                let right = matches!(&given.wrapping, Wrapping::Customer { md5: of } if of == md5);
                if right { Ok(()) } else { Err(fault::access_denied()) }
            }
        }
    }
}

fn not_applicable() -> S3Error {
    fault::invalid_request("The encryption parameters are not applicable to this object.")
}

/// How an object's encryption is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) method: Option<dto::ServerSideEncryption>,
    /// Of the client's key.
    pub(super) algorithm: Option<String>,
    pub(super) md5: Option<String>,
    /// The ARN of KMS's.
    pub(super) key_id: Option<String>,
    /// What the client has added, as it gave it.
    pub(super) context: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

impl Shown {
    pub(super) fn of(wrapping: &Wrapping) -> Self {
        match wrapping {
            Wrapping::Store => {
                let method = dto::ServerSideEncryption::AES256;
                let method = Some(dto::ServerSideEncryption::from_static(method));
                Self { method, ..Self::default() }
            }
            Wrapping::Customer { md5 } => {
                let algorithm = Some("AES256".to_owned());
                Self { algorithm, md5: Some(md5.clone()), ..Self::default() }
            }
            Wrapping::Kms(by) => {
                let context = (!by.context.is_empty())
                    .then(|| serde_json::to_vec(&by.context).ok())
                    .flatten()
                    .map(|json| STANDARD.encode(json));
                Self {
                    method: Some(dto::ServerSideEncryption::from_static(
                        dto::ServerSideEncryption::AWS_KMS,
                    )),
                    key_id: Some(by.key_arn.clone()),
                    context,
                    bucket_key: by.bucket_key.then_some(true),
                    ..Self::default()
                }
            }
        }
    }
}
