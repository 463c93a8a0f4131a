//! Access over the wire: policies, lists, ownership, the public-access block.

use crate::world::{World, canonical};

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

fn public(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"{action}","Resource":"arn:aws:s3:::{resource}"}}]}}"#
    )
}

#[tokio::test]
async fn a_public_policy() {
    let world = World::new();
    world.own("PUT /b", "").await.ok();
    world.own("PUT /b/k", "hello").await.ok();
    world.call("", "GET /b/k", &[], "").await.fails(403, "AccessDenied");
    let policy = public("s3:GetObject", "b/*");
    world.own("PUT /b?policy", policy.clone()).await.fails(403, "AccessDenied");
    world.own("DELETE /b?publicAccessBlock", "").await.ok();
    world.own("PUT /b?policy", policy).await.ok();
    let status = world.own("GET /b?policyStatus", "").await.ok();
    assert_eq!(status.element("IsPublic").map(str::to_ascii_uppercase).as_deref(), Some("TRUE"));
    assert_eq!(world.call("", "GET /b/k", &[], "").await.ok().body, "hello");
    assert_eq!(world.call("other", "GET /b/k", &[], "").await.ok().body, "hello");
    // Who may not list learns nothing.
    world.call("", "GET /b/none", &[], "").await.fails(403, "AccessDenied");
    world.own("GET /b/none", "").await.fails(404, "NoSuchKey");
    world.call("", "GET /b", &[], "").await.fails(403, "AccessDenied");
    world.call("", "PUT /b/k", &[], "x").await.fails(403, "AccessDenied");
    let both = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}]}"#;
    world.own("PUT /b?policy", both).await.ok();
    world.call("", "GET /b/none", &[], "").await.fails(404, "NoSuchKey");
    world.call("", "GET /b", &[], "").await.ok();
    let restrict = "<PublicAccessBlockConfiguration>\
        <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    world.own("PUT /b?publicAccessBlock", restrict).await.ok();
    world.call("", "GET /b/k", &[], "").await.fails(403, "AccessDenied");
    world.own("GET /b/k", "").await.ok();
}

#[tokio::test]
async fn malformed_policies() {
    let world = World::new();
    world.own("PUT /b", "").await.ok();
    for policy in [
        "",
        "hello",
        "{}",
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        &public("s3:GetObject", "other/*"),
        &public("ec2:RunInstances", "b/*"),
        &public("s3:ListBucket", "b/*"),
        &public("s3:GetObject", &format!("b/{}", "x".repeat(21_000))),
    ] {
        let answer = world.own("PUT /b?policy", policy).await;
        let code = answer.code();
        let refused = code == "MalformedPolicy" || (policy.is_empty() && !code.is_empty());
        assert!(refused && answer.status.as_u16() == 400, "{policy:.60}: {answer:#?}");
    }
}

#[tokio::test]
async fn a_deny_binds_the_owner_who_can_mend_it() {
    let world = World::new();
    world.own("PUT /b", "").await.ok();
    world.own("PUT /b/k", "x").await.ok();
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}]}"#;
    world.own("PUT /b?policy", deny).await.ok();
    let answer = world.own("GET /b/k", "").await.fails(403, "AccessDenied");
    assert!(
        answer.body.contains("with an explicit deny in a resource-based policy"),
        "{answer:#?}"
    );
    world.call("user", "GET /b?policy", &[], "").await.fails(403, "AccessDenied");
    world.own("DELETE /b?policy", "").await.ok();
    world.call("user", "GET /b/k", &[], "").await.ok();
}

#[tokio::test]
async fn conditions_on_requests() {
    let world = World::new();
    world.open_bucket("b").await;
    world.own("PUT /b/a/1", "x").await.ok();
    let tagged = [("x-amz-tagging", "show=yes")];
    world.call("owner", "PUT /b/tagged", &tagged, "x").await.ok();
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::b","Condition":{"StringEquals":{"s3:prefix":"a/"},"NumericLessThanEquals":{"s3:max-keys":"5"}}},
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/show":"yes"}}},
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/a/*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringLike":{"aws:Referer":"http://good/*"}}},
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:RequestObjectTag/team":"red"}}}]}"#;
    world.own("PUT /b?policy", policy).await.ok();
    let other = |target: &'static str| world.call("other", target, &[], "");
    other("GET /b?prefix=a%2F&max-keys=5").await.ok();
    other("GET /b?list-type=2&prefix=a/&max-keys=2").await.ok();
    other("GET /b?prefix=b/&max-keys=5").await.fails(403, "AccessDenied");
    other("GET /b?prefix=a/&max-keys=6").await.fails(403, "AccessDenied");
    other("GET /b?prefix=a/").await.fails(403, "AccessDenied");
    other("GET /b/tagged").await.ok();
    other("GET /b/a/1").await.fails(403, "AccessDenied");
    let good = [("referer", "http://good/page")];
    world.call("", "GET /b/a/1", &good, "").await.ok();
    let bad = [("referer", "http://bad/page")];
    world.call("", "GET /b/a/1", &bad, "").await.fails(403, "AccessDenied");
    let red = [("x-amz-tagging", "team=red")];
    world.call("other", "PUT /b/new", &red, "x").await.ok();
    let blue = [("x-amz-tagging", "team=blue")];
    world.call("other", "PUT /b/new", &blue, "x").await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn lists_are_disabled_in_new_buckets() {
    let world = World::new();
    world.own("PUT /b", "").await.ok();
    let acl = [("x-amz-acl", "public-read")];
    let code = "AccessControlListNotSupported";
    world.call("owner", "PUT /b?acl", &acl, "").await.fails(400, code);
    world.call("owner", "PUT /b/k", &acl, "x").await.fails(400, code);
    let full = [("x-amz-acl", "bucket-owner-full-control")];
    world.call("owner", "PUT /b/k", &full, "x").await.ok();
    world.call("owner", "PUT /b/k?acl", &acl, "").await.fails(400, code);
    world.call("owner", "PUT /b/k?acl", &full, "").await.ok();
    let code = "InvalidBucketAclWithObjectOwnership";
    world.call("owner", "PUT /c", &acl, "").await.fails(400, code);
}

#[tokio::test]
async fn lists_of_buckets_and_objects() {
    let world = World::new();
    world.open_bucket("b").await;
    world.own("PUT /b/private", "p").await.ok();
    let acl = [("x-amz-acl", "public-read")];
    world.call("owner", "PUT /b/public", &acl, "x").await.ok();
    assert_eq!(world.call("", "GET /b/public", &[], "").await.ok().body, "x");
    world.call("", "GET /b/private", &[], "").await.fails(403, "AccessDenied");
    world.call("", "GET /b", &[], "").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /b?acl", &acl, "").await.ok();
    world.call("", "GET /b", &[], "").await.ok();
    world.call("", "GET /b/none", &[], "").await.fails(404, "NoSuchKey");
    let grants = world.own("GET /b?acl", "").await.ok();
    assert!(grants.body.contains(ALL_USERS), "{grants:#?}");
    let ignore = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls>\
                  <BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    world.own("PUT /b?publicAccessBlock", ignore).await.ok();
    world.call("", "GET /b/public", &[], "").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /b/new", &acl, "x").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /b/private?acl", &acl, "").await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn objects_of_others() {
    let world = World::new();
    world.open_bucket("b").await;
    let write = format!("id=\"{}\"", canonical("other"));
    let grant = [("x-amz-grant-write", write.as_str()), ("x-amz-grant-read", write.as_str())];
    world.call("owner", "PUT /b?acl", &grant, "").await.ok();
    world.call("other", "PUT /b/theirs", &[], "t").await.ok();
    world.call("other", "GET /b/theirs", &[], "").await.ok();
    world.own("GET /b/theirs", "").await.fails(403, "AccessDenied");
    let full = [("x-amz-acl", "bucket-owner-full-control")];
    world.call("other", "PUT /b/theirs?acl", &full, "").await.ok();
    assert_eq!(world.own("GET /b/theirs", "").await.ok().body, "t");
    let acl = world.own("GET /b/theirs?acl", "").await.ok();
    assert!(acl.element("ID") == Some(canonical("other").as_str()), "{acl:#?}");
    // Preferring the bucket's owner makes it the owner of what is given to it.
    let preferred = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerPreferred\
                     </ObjectOwnership></Rule></OwnershipControls>";
    world.own("PUT /b?ownershipControls", preferred).await.ok();
    world.call("other", "PUT /b/given", &full, "g").await.ok();
    let acl = world.own("GET /b/given?acl", "").await.ok();
    assert!(acl.element("ID") == Some(canonical("owner").as_str()), "{acl:#?}");
    world.own("DELETE /b/theirs", "").await.ok();
    // Lists that grant something stand in the way of disabling them.
    let enforced = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced\
                    </ObjectOwnership></Rule></OwnershipControls>";
    let code = "InvalidBucketAclWithObjectOwnership";
    world.own("PUT /b?ownershipControls", enforced).await.fails(400, code);
    let private = [("x-amz-acl", "private")];
    world.call("owner", "PUT /b?acl", &private, "").await.ok();
    world.own("PUT /b?ownershipControls", enforced).await.ok();
    world.call("other", "GET /b/given", &[], "").await.fails(403, "AccessDenied");
}
