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
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /bbb/k", "hello").await.ok();
    world.call("", "GET /bbb/k", &[], "").await.fails(403, "AccessDenied");
    let policy = public("s3:GetObject", "bbb/*");
    world.own("PUT /bbb?policy", policy.clone()).await.fails(403, "AccessDenied");
    world.own("DELETE /bbb?publicAccessBlock", "").await.ok();
    world.own("PUT /bbb?policy", policy).await.ok();
    let status = world.own("GET /bbb?policyStatus", "").await.ok();
    assert_eq!(status.element("IsPublic").map(str::to_ascii_uppercase).as_deref(), Some("TRUE"));
    assert_eq!(world.call("", "GET /bbb/k", &[], "").await.ok().body, "hello");
    assert_eq!(world.call("other", "GET /bbb/k", &[], "").await.ok().body, "hello");
    // Who may not list learns nothing.
    world.call("", "GET /bbb/none", &[], "").await.fails(403, "AccessDenied");
    world.own("GET /bbb/none", "").await.fails(404, "NoSuchKey");
    world.call("", "GET /bbb", &[], "").await.fails(403, "AccessDenied");
    world.call("", "PUT /bbb/k", &[], "x").await.fails(403, "AccessDenied");
    let both = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::bbb","arn:aws:s3:::bbb/*"]}]}"#;
    world.own("PUT /bbb?policy", both).await.ok();
    world.call("", "GET /bbb/none", &[], "").await.fails(404, "NoSuchKey");
    world.call("", "GET /bbb", &[], "").await.ok();
    let restrict = "<PublicAccessBlockConfiguration>\
        <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    world.own("PUT /bbb?publicAccessBlock", restrict).await.ok();
    world.call("", "GET /bbb/k", &[], "").await.fails(403, "AccessDenied");
    world.own("GET /bbb/k", "").await.ok();
}

#[tokio::test]
async fn malformed_policies() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    for policy in [
        "",
        "hello",
        "{}",
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        &public("s3:GetObject", "other/*"),
        &public("ec2:RunInstances", "bbb/*"),
        &public("s3:ListBucket", "bbb/*"),
        &public("s3:GetObject", &format!("bbb/{}", "x".repeat(21_000))),
    ] {
        let answer = world.own("PUT /bbb?policy", policy).await;
        let code = answer.code();
        let refused = code == "MalformedPolicy" || (policy.is_empty() && !code.is_empty());
        assert!(refused && answer.status.as_u16() == 400, "{policy:.60}: {answer:#?}");
    }
}

#[tokio::test]
async fn a_deny_binds_the_owner_who_can_mend_it() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /bbb/k", "x").await.ok();
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bbb","arn:aws:s3:::bbb/*"]}]}"#;
    world.own("PUT /bbb?policy", deny).await.ok();
    let answer = world.own("GET /bbb/k", "").await.fails(403, "AccessDenied");
    assert!(
        answer.body.contains("with an explicit deny in a resource-based policy"),
        "{answer:#?}"
    );
    world.call("user", "GET /bbb?policy", &[], "").await.fails(403, "AccessDenied");
    world.own("DELETE /bbb?policy", "").await.ok();
    world.call("user", "GET /bbb/k", &[], "").await.ok();
}

#[tokio::test]
async fn conditions_on_requests() {
    let world = World::new();
    world.open_bucket("bbb").await;
    world.own("PUT /bbb/a/1", "x").await.ok();
    let tagged = [("x-amz-tagging", "show=yes")];
    world.call("owner", "PUT /bbb/tagged", &tagged, "x").await.ok();
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::bbb","Condition":{"StringEquals":{"s3:prefix":"a/"},"NumericLessThanEquals":{"s3:max-keys":"5"}}},
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/show":"yes"}}},
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/a/*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringLike":{"aws:Referer":"http://good/*"}}},
        {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":["s3:PutObject","s3:PutObjectTagging"],"Resource":"arn:aws:s3:::bbb/*","Condition":{"StringEquals":{"s3:RequestObjectTag/team":"red"}}}]}"#;
    world.own("PUT /bbb?policy", policy).await.ok();
    let other = |target: &'static str| world.call("other", target, &[], "");
    other("GET /bbb?prefix=a%2F&max-keys=5").await.ok();
    other("GET /bbb?list-type=2&prefix=a/&max-keys=2").await.ok();
    other("GET /bbb?prefix=b/&max-keys=5").await.fails(403, "AccessDenied");
    other("GET /bbb?prefix=a/&max-keys=6").await.fails(403, "AccessDenied");
    other("GET /bbb?prefix=a/").await.fails(403, "AccessDenied");
    other("GET /bbb/tagged").await.ok();
    other("GET /bbb/a/1").await.fails(403, "AccessDenied");
    let good = [("referer", "http://good/page")];
    world.call("", "GET /bbb/a/1", &good, "").await.ok();
    let bad = [("referer", "http://bad/page")];
    world.call("", "GET /bbb/a/1", &bad, "").await.fails(403, "AccessDenied");
    let red = [("x-amz-tagging", "team=red")];
    world.call("other", "PUT /bbb/new", &red, "x").await.ok();
    let blue = [("x-amz-tagging", "team=blue")];
    world.call("other", "PUT /bbb/new", &blue, "x").await.fails(403, "AccessDenied");
    let tagging = |team: &str| {
        format!(
            "<Tagging><TagSet><Tag><Key>team</Key><Value>{team}</Value></Tag></TagSet></Tagging>"
        )
    };
    world.call("other", "PUT /bbb/new?tagging", &[], tagging("red")).await.ok();
    let answer = world.call("other", "PUT /bbb/new?tagging", &[], tagging("blue")).await;
    answer.fails(403, "AccessDenied");
}

#[tokio::test]
async fn lists_are_disabled_in_new_buckets() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let acl = [("x-amz-acl", "public-read")];
    let code = "AccessControlListNotSupported";
    world.call("owner", "PUT /bbb?acl", &acl, "").await.fails(400, code);
    world.call("owner", "PUT /bbb/k", &acl, "x").await.fails(400, code);
    let full = [("x-amz-acl", "bucket-owner-full-control")];
    world.call("owner", "PUT /bbb/k", &full, "x").await.ok();
    world.call("owner", "PUT /bbb/k?acl", &acl, "").await.fails(400, code);
    world.call("owner", "PUT /bbb/k?acl", &full, "").await.ok();
    let code = "InvalidBucketAclWithObjectOwnership";
    world.call("owner", "PUT /ccc", &acl, "").await.fails(400, code);
}

#[tokio::test]
async fn lists_of_buckets_and_objects() {
    let world = World::new();
    world.open_bucket("bbb").await;
    world.own("PUT /bbb/private", "p").await.ok();
    let acl = [("x-amz-acl", "public-read")];
    world.call("owner", "PUT /bbb/public", &acl, "x").await.ok();
    assert_eq!(world.call("", "GET /bbb/public", &[], "").await.ok().body, "x");
    world.call("", "GET /bbb/private", &[], "").await.fails(403, "AccessDenied");
    world.call("", "GET /bbb", &[], "").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /bbb?acl", &acl, "").await.ok();
    world.call("", "GET /bbb", &[], "").await.ok();
    world.call("", "GET /bbb/none", &[], "").await.fails(404, "NoSuchKey");
    let grants = world.own("GET /bbb?acl", "").await.ok();
    assert!(grants.body.contains(ALL_USERS), "{grants:#?}");
    let ignore = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls>\
                  <BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    world.own("PUT /bbb?publicAccessBlock", ignore).await.ok();
    world.call("", "GET /bbb/public", &[], "").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /bbb/new", &acl, "x").await.fails(403, "AccessDenied");
    world.call("owner", "PUT /bbb/private?acl", &acl, "").await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn objects_of_others() {
    let world = World::new();
    world.open_bucket("bbb").await;
    let write = format!("id=\"{}\"", canonical("other"));
    let grant = [("x-amz-grant-write", write.as_str()), ("x-amz-grant-read", write.as_str())];
    world.call("owner", "PUT /bbb?acl", &grant, "").await.ok();
    world.call("other", "PUT /bbb/theirs", &[], "t").await.ok();
    world.call("other", "GET /bbb/theirs", &[], "").await.ok();
    world.own("GET /bbb/theirs", "").await.fails(403, "AccessDenied");
    let full = [("x-amz-acl", "bucket-owner-full-control")];
    world.call("other", "PUT /bbb/theirs?acl", &full, "").await.ok();
    assert_eq!(world.own("GET /bbb/theirs", "").await.ok().body, "t");
    let acl = world.own("GET /bbb/theirs?acl", "").await.ok();
    assert!(acl.element("ID") == Some(canonical("other").as_str()), "{acl:#?}");
    // Preferring the bucket's owner makes it the owner of what is given to it.
    let preferred = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerPreferred\
                     </ObjectOwnership></Rule></OwnershipControls>";
    world.own("PUT /bbb?ownershipControls", preferred).await.ok();
    world.call("other", "PUT /bbb/given", &full, "g").await.ok();
    let acl = world.own("GET /bbb/given?acl", "").await.ok();
    assert!(acl.element("ID") == Some(canonical("owner").as_str()), "{acl:#?}");
    world.own("DELETE /bbb/theirs", "").await.ok();
    // Lists that grant something stand in the way of disabling them.
    let enforced = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced\
                    </ObjectOwnership></Rule></OwnershipControls>";
    let code = "InvalidBucketAclWithObjectOwnership";
    world.own("PUT /bbb?ownershipControls", enforced).await.fails(400, code);
    let private = [("x-amz-acl", "private")];
    world.call("owner", "PUT /bbb?acl", &private, "").await.ok();
    world.own("PUT /bbb?ownershipControls", enforced).await.ok();
    world.call("other", "GET /bbb/given", &[], "").await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn a_list_by_header_needs_its_own_permission() {
    let world = World::new();
    world.open_bucket("bbb").await;
    let allowing = |actions: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"222222222222"}},"Action":{actions},"Resource":"arn:aws:s3:::bbb/*"}}]}}"#
        )
    };
    let acl = [("x-amz-acl", "bucket-owner-full-control")];
    let grant = format!("id={}", canonical("owner"));
    let grant = [("x-amz-grant-read", grant.as_str())];
    world.own("PUT /bbb?policy", allowing(r#""s3:PutObject""#)).await.ok();
    world.call("other", "PUT /bbb/k", &[], "x").await.ok();
    world.call("other", "PUT /bbb/k", &acl, "x").await.fails(403, "AccessDenied");
    world.call("other", "PUT /bbb/k", &grant, "x").await.fails(403, "AccessDenied");
    world.call("other", "POST /bbb/k?uploads", &acl, "").await.fails(403, "AccessDenied");
    let both = r#"["s3:PutObject","s3:PutObjectAcl"]"#;
    world.own("PUT /bbb?policy", allowing(both)).await.ok();
    world.call("other", "PUT /bbb/k", &acl, "x").await.ok();
    world.call("other", "PUT /bbb/k", &grant, "x").await.ok();
    world.call("other", "POST /bbb/k?uploads", &acl, "").await.ok();
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObjectAcl","Resource":"arn:aws:s3:::bbb/*"}]}"#;
    world.own("PUT /bbb?policy", deny).await.ok();
    world.call("user", "PUT /bbb/k", &[], "x").await.ok();
    world.call("user", "PUT /bbb/k", &acl, "x").await.fails(403, "AccessDenied");
    // Whom the bucket's list lets write may give the object's.
    world.own("DELETE /bbb?policy", "").await.ok();
    let open = [("x-amz-acl", "public-read-write")];
    world.call("owner", "PUT /bbb?acl", &open, "").await.ok();
    world.call("other", "PUT /bbb/l", &acl, "x").await.ok();
    world.call("", "PUT /bbb/l", &[("x-amz-acl", "public-read")], "x").await.ok();
}
