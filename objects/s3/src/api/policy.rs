//! Bucket policies.

use crate::{
    Gateway,
    access::{block_of, enter},
    configuration::PolicyText,
    fault,
};
use http::StatusCode;
use policy::{Document, Kind, PrincipalType};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto};

fn missing(name: &str) -> s3s::S3Error {
    let error = fault::fault(S3ErrorCode::NoSuchBucketPolicy, "The bucket policy does not exist");
    fault::with(error, &[("BucketName", name)])
}

pub(super) async fn get_bucket_policy(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketPolicyInput>,
) -> S3Result<S3Response<dto::GetBucketPolicyOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketPolicy").await?;
    let row = bucket.row();
    let policy = row.configuration.policy.as_ref().ok_or_else(|| missing(name))?;
    let policy = Some(policy.text().to_owned());
    Ok(S3Response::new(dto::GetBucketPolicyOutput { policy }))
}

pub(super) async fn put_bucket_policy(
    gateway: &Gateway,
    req: S3Request<dto::PutBucketPolicyInput>,
) -> S3Result<S3Response<dto::PutBucketPolicyOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:PutBucketPolicy").await?;
    let malformed =
        |invalid: policy::Invalid| fault::fault(S3ErrorCode::MalformedPolicy, invalid.to_string());
    let text = &req.input.policy;
    let document =
        Document::parse(text, policy::s3::MAX_POLICY_BYTES, Kind::Resource).map_err(malformed)?;
    policy::s3::check(&document, name).map_err(malformed)?;
    let named = document.principals().filter(|one| one.kind() == PrincipalType::Aws);
    if !named.into_iter().all(|one| gateway.identities.may_exist(one.as_str())) {
        return Err(fault::fault(S3ErrorCode::MalformedPolicy, "Invalid principal in policy"));
    }
    let block = block_of(gateway, &bucket.row()).await?;
    if block.block_policy && policy::s3::is_public(&document) {
        let message = format!(
            "User is not authorized to perform: s3:PutBucketPolicy on resource: \
             \"arn:aws:s3:::{name}\" because public policies are prevented by the \
             BlockPublicPolicy setting in S3 Block Public Access."
        );
        return Err(fault::fault(S3ErrorCode::AccessDenied, message));
    }
    let kept = PolicyText::from(text.clone());
    gateway.configure(&bucket, |configuration| configuration.policy = Some(kept)).await?;
    Ok(S3Response::with_status(Default::default(), StatusCode::NO_CONTENT))
}

pub(super) async fn delete_bucket_policy(
    gateway: &Gateway,
    req: S3Request<dto::DeleteBucketPolicyInput>,
) -> S3Result<S3Response<dto::DeleteBucketPolicyOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:DeleteBucketPolicy").await?;
    gateway.configure(&bucket, |configuration| configuration.policy = None).await?;
    Ok(S3Response::new(Default::default()))
}

pub(super) async fn get_bucket_policy_status(
    gateway: &Gateway,
    req: S3Request<dto::GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<dto::GetBucketPolicyStatusOutput>> {
    let name = &req.input.bucket;
    let bucket = enter(gateway, &req, name, "s3:GetBucketPolicyStatus").await?;
    let row = bucket.row();
    let policy = row.configuration.policy.as_ref().ok_or_else(|| missing(name))?;
    let public = policy.policy().is_some_and(|policy| policy.public);
    let policy_status = Some(dto::PolicyStatus { is_public: Some(public) });
    Ok(S3Response::new(dto::GetBucketPolicyStatusOutput { policy_status }))
}
