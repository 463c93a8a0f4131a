//! S3 Control: what concerns an account rather than a bucket, at `/v20180820/…`.

use crate::{
    Gateway, Identity,
    access::block::PublicBlock,
    api::no_public_access_block,
    configuration::{malformed_xml, tags as bucket_tags},
    express::{self, Express},
    fault,
    store::BucketEntry,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use s3s::{
    Body, S3Error, S3Request, S3Response, S3Result, dto,
    route::S3Route,
    xml::{DeResult, Deserialize, Deserializer},
};
use std::{fmt::Write as _, sync::Arc};

const PATH: &str = "/v20180820/";
/// The longest document of a request.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

/// S3 Control, as s3s calls it once the signature is checked.
#[derive(Clone, Debug)]
pub(crate) struct Control(pub Gateway);

#[async_trait::async_trait]
impl S3Route for Control {
    fn is_match(
        &self,
        _method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &mut http::Extensions,
    ) -> bool {
        extensions.get::<Express>().is_some()
            || uri.path().starts_with(PATH) && account(headers).is_some()
    }

    async fn call(&self, req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if req.extensions.get::<Express>().is_some() {
            return express::answer(&self.0, &req).await;
        }
        match answer(&self.0, req).await {
            Ok(response) => Ok(response),
            Err(error) => Ok(wrapped(&error)),
        }
    }
}

/// The account that a request names: by header, or as the first label of its host.
fn account(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let by_host = text("host").and_then(|host| host.split('.').next());
    let twelve = |text: &&str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    text("x-amz-account-id").or_else(|| by_host.filter(twelve))
}

async fn answer(gateway: &Gateway, mut req: S3Request<Body>) -> S3Result<S3Response<Body>> {
    let credentials = req.credentials.as_ref().ok_or_else(fault::access_denied)?;
    let identity = gateway.identities.find(&credentials.access_key).await;
    let identity = identity.ok_or_else(fault::access_denied)?;
    if account(&req.headers) != Some(identity.account.as_str()) {
        return Err(fault::access_denied());
    }
    let rest = req.uri.path().strip_prefix(PATH).unwrap_or_default().to_owned();
    if rest == "configuration/publicAccessBlock" {
        return public_access_block(gateway, &identity, &mut req).await;
    }
    if let Some(arn) = rest.strip_prefix("tags/") {
        let arn = percent_decode_str(arn).decode_utf8_lossy().into_owned();
        return tags(gateway, &identity, &arn, &mut req).await;
    }
    Err(fault::not_implemented(
        operation(&req.method, &rest).unwrap_or(&format!("{} {PATH}{rest}", req.method)),
    ))
}

/// The name of an operation that isn't served.
fn operation(method: &Method, rest: &str) -> Option<&'static str> {
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let (kind, named, sub) = (parts.next()?, parts.next().is_some(), parts.next());
    Some(match (method.as_str(), kind, named, sub) {
        ("GET", "accesspoint", false, _) => "ListAccessPoints",
        ("GET", "accesspoint", true, None) => "GetAccessPoint",
        ("GET", "accesspoint", true, Some("policy")) => "GetAccessPointPolicy",
        ("PUT", "accesspoint", true, None) => "CreateAccessPoint",
        ("PUT", "accesspoint", true, Some("policy")) => "PutAccessPointPolicy",
        ("DELETE", "accesspoint", true, None) => "DeleteAccessPoint",
        ("DELETE", "accesspoint", true, Some("policy")) => "DeleteAccessPointPolicy",
        ("GET", "jobs", false, _) => "ListJobs",
        ("POST", "jobs", false, _) => "CreateJob",
        ("GET", "jobs", true, None) => "DescribeJob",
        ("GET", "storagelens", false, _) => "ListStorageLensConfigurations",
        ("GET", "storagelens", true, None) => "GetStorageLensConfiguration",
        ("PUT", "storagelens", true, None) => "PutStorageLensConfiguration",
        ("DELETE", "storagelens", true, None) => "DeleteStorageLensConfiguration",
        ("GET", "bucket", false, _) => "ListRegionalBuckets",
        ("GET", "bucket", true, None) => "GetBucket",
        ("PUT", "bucket", true, None) => "CreateBucket",
        ("GET", "mrap", _, _) => "ListMultiRegionAccessPoints",
        ("GET", "accessgrantsinstance", false, _) => "GetAccessGrantsInstance",
        ("POST", "accessgrantsinstance", false, _) => "CreateAccessGrantsInstance",
        _ => return None,
    })
}

async fn document<T>(req: &mut S3Request<Body>) -> S3Result<T>
where
    T: for<'xml> Deserialize<'xml>,
{
    let bytes = req.input.store_all_limited(MAX_DOCUMENT_BYTES).await;
    let bytes = bytes.map_err(|_| malformed_xml())?;
    let mut reader = Deserializer::new(&bytes);
    let document = T::deserialize(&mut reader).map_err(|_| malformed_xml())?;
    reader.expect_eof().map_err(|_| malformed_xml())?;
    Ok(document)
}

fn xml(status: StatusCode, text: &str) -> S3Response<Body> {
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    let mut response = S3Response::with_status(Body::from(declared), status);
    let kind = HeaderValue::from_static("application/xml");
    response.headers.insert(header::CONTENT_TYPE, kind);
    response
}

fn empty(status: StatusCode) -> S3Response<Body> {
    S3Response::with_status(Body::empty(), status)
}

/// An error in the envelope that this service has.
fn wrapped(error: &S3Error) -> S3Response<Body> {
    let status = error.status_code().or_else(|| error.code().status_code());
    let code = error.code().as_str();
    let message = error.message().or_else(|| fault::default_message(code)).unwrap_or_default();
    let text = format!(
        "<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{:016X}</RequestId></ErrorResponse>",
        escape(code),
        escape(message),
        rand::random::<u64>()
    );
    xml(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &text)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

async fn public_access_block(
    gateway: &Gateway,
    identity: &Identity,
    req: &mut S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let (store, accounts) = (&gateway.store, &gateway.accounts);
    let mut row = accounts.get(store, &identity.account).await?;
    match req.method.as_str() {
        "GET" => {
            let block = row.public_block.ok_or_else(no_public_access_block)?;
            Ok(xml(
                StatusCode::OK,
                &format!(
                    "<PublicAccessBlockConfiguration \
                     xmlns=\"http://awss3control.amazonaws.com/doc/2018-08-20/\">\
                     <BlockPublicAcls>{}</BlockPublicAcls>\
                     <IgnorePublicAcls>{}</IgnorePublicAcls>\
                     <BlockPublicPolicy>{}</BlockPublicPolicy>\
                     <RestrictPublicBuckets>{}</RestrictPublicBuckets>\
                     </PublicAccessBlockConfiguration>",
                    block.block_acls, block.ignore_acls, block.block_policy, block.restrict_buckets
                ),
            ))
        }
        "PUT" => {
            let block: dto::PublicAccessBlockConfiguration = document(req).await?;
            row.public_block = Some(PublicBlock::from_api(&block));
            accounts.put(store, &identity.account, row).await?;
            Ok(empty(StatusCode::OK))
        }
        "DELETE" => {
            row.public_block = None;
            accounts.put(store, &identity.account, row).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(s3s::S3ErrorCode::MethodNotAllowed.into()),
    }
}

/// The document of `TagResource`.
struct TagResource(Vec<dto::Tag>);

impl<'xml> Deserialize<'xml> for TagResource {
    fn deserialize(d: &mut Deserializer<'xml>) -> DeResult<Self> {
        let mut tags = Vec::new();
        d.named_element("TagResourceRequest", |d| {
            d.for_each_element(|d, name| match name {
                b"Tags" => d.for_each_element(|d, name| match name {
                    b"Tag" => {
                        tags.push(d.content()?);
                        Ok(())
                    }
                    _ => Err(s3s::xml::DeError::UnexpectedTagName),
                }),
                _ => Err(s3s::xml::DeError::UnexpectedTagName),
            })
        })?;
        Ok(Self(tags))
    }
}

async fn tags(
    gateway: &Gateway,
    identity: &Identity,
    arn: &str,
    req: &mut S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let name = arn.strip_prefix("arn:aws:s3:::").filter(|name| !name.contains('/'));
    let Some(name) = name else {
        return Err(fault::not_implemented("Tagging of anything but buckets"));
    };
    let bucket: Arc<BucketEntry> = gateway.store.bucket(name).await?;
    if bucket.row().owner.account != identity.account {
        return Err(fault::access_denied());
    }
    match req.method.as_str() {
        "GET" => {
            let mut text = String::from("<ListTagsForResourceResult><Tags>");
            for (key, value) in &bucket.row().configuration.tags {
                let (key, value) = (escape(key), escape(value));
                let _ = write!(text, "<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
            }
            text.push_str("</Tags></ListTagsForResourceResult>");
            Ok(xml(StatusCode::OK, &text))
        }
        "POST" => {
            let TagResource(given) = document(req).await?;
            let given = bucket_tags::of_bucket(given)?;
            let change = |row: &mut crate::store::Bucket| {
                row.configuration.tags.extend(given);
                if bucket_tags::too_many_for_bucket(&row.configuration.tags) {
                    return Err(bucket_tags::too_many());
                }
                Ok(())
            };
            gateway.store.update_bucket(&bucket, change).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        "DELETE" => {
            let query = req.uri.query().unwrap_or_default();
            let keys: Vec<String> = query
                .split('&')
                .filter_map(|pair| pair.strip_prefix("tagKeys="))
                .map(|key| percent_decode_str(key).decode_utf8_lossy().into_owned())
                .collect();
            let change = |row: &mut crate::configuration::Configuration| {
                row.tags.retain(|key, _| !keys.contains(key));
            };
            gateway.configure(&bucket, change).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(s3s::S3ErrorCode::MethodNotAllowed.into()),
    }
}
