//! Configuration of buckets: what each answers before, between and after.

use crate::world::World;

/// What each operation answers about a new bucket; Terraform reads them all.
const NEW_BUCKET: &[(&str, u16, &str)] = &[
    ("acl", 200, "FULL_CONTROL"),
    ("policy", 404, "NoSuchBucketPolicy"),
    ("policyStatus", 404, "NoSuchBucketPolicy"),
    ("tagging", 404, "NoSuchTagSet"),
    ("cors", 404, "NoSuchCORSConfiguration"),
    ("encryption", 200, "AES256"),
    ("lifecycle", 404, "NoSuchLifecycleConfiguration"),
    ("website", 404, "NoSuchWebsiteConfiguration"),
    ("notification", 200, "NotificationConfiguration"),
    ("logging", 200, "BucketLoggingStatus"),
    ("ownershipControls", 200, "BucketOwnerEnforced"),
    ("publicAccessBlock", 200, "<RestrictPublicBuckets>true"),
    ("accelerate", 200, "AccelerateConfiguration"),
    ("requestPayment", 200, "BucketOwner"),
    ("versioning", 200, "VersioningConfiguration"),
    ("object-lock", 404, "ObjectLockConfigurationNotFoundError"),
    ("replication", 404, "ReplicationConfigurationNotFoundError"),
    ("inventory", 200, "ListInventoryConfigurationsResult"),
    ("metrics", 200, "ListMetricsConfigurationsResult"),
    ("analytics", 200, "ListBucketAnalyticsConfigurationResult"),
    ("intelligent-tiering", 200, "ListBucketIntelligentTieringConfigurationsOutput"),
    ("location", 200, "LocationConstraint"),
];

#[tokio::test]
async fn a_new_bucket() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    for (part, status, text) in NEW_BUCKET {
        let answer = world.own(&format!("GET /bbb?{part}"), "").await;
        assert_eq!(answer.status.as_u16(), *status, "{part}: {answer:#?}");
        assert!(answer.body.contains(text), "{part}: {answer:#?}");
        world.call("other", &format!("GET /bbb?{part}"), &[], "").await.fails(403, "AccessDenied");
        world.call("", &format!("GET /bbb?{part}"), &[], "").await.fails(403, "AccessDenied");
        let headers = [("x-amz-expected-bucket-owner", "222222222222")];
        let answer = world.call("owner", &format!("GET /bbb?{part}"), &headers, "").await;
        assert_eq!(answer.status.as_u16(), 403, "{part}: {answer:#?}");
    }
}

/// Part, document, what the answer holds then, what it answers after DELETE.
const KEPT: &[(&str, &str, &str, &str)] = &[
    (
        "tagging",
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "<Key>a</Key>",
        "NoSuchTagSet",
    ),
    (
        "cors",
        "<CORSConfiguration><CORSRule><AllowedOrigin>http://x</AllowedOrigin>\
         <AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>",
        "<AllowedOrigin>http://x",
        "NoSuchCORSConfiguration",
    ),
    (
        "lifecycle",
        "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter/>\
         <Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>",
        "<Days>7</Days>",
        "NoSuchLifecycleConfiguration",
    ),
    (
        "website",
        "<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument>\
         </WebsiteConfiguration>",
        "<Suffix>i.html",
        "NoSuchWebsiteConfiguration",
    ),
    (
        "encryption",
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
         <BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
        "<BucketKeyEnabled>true",
        "<BucketKeyEnabled>false",
    ),
    (
        "ownershipControls",
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>\
         </OwnershipControls>",
        "ObjectWriter",
        "OwnershipControlsNotFoundError",
    ),
    (
        "publicAccessBlock",
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
         </PublicAccessBlockConfiguration>",
        "<RestrictPublicBuckets>false",
        "NoSuchPublicAccessBlockConfiguration",
    ),
    (
        "policy",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/*"}]}"#,
        r#""Effect":"Deny""#,
        "NoSuchBucketPolicy",
    ),
    (
        "inventory&id=i",
        "<InventoryConfiguration><Destination><S3BucketDestination>\
         <Bucket>arn:aws:s3:::bbb</Bucket><Format>CSV</Format></S3BucketDestination></Destination>\
         <IsEnabled>true</IsEnabled><Id>i</Id>\
         <IncludedObjectVersions>All</IncludedObjectVersions>\
         <Schedule><Frequency>Daily</Frequency></Schedule></InventoryConfiguration>",
        "<Id>i</Id>",
        "NoSuchConfiguration",
    ),
    (
        "metrics&id=m",
        "<MetricsConfiguration><Id>m</Id><Filter><Prefix>p</Prefix></Filter>\
         </MetricsConfiguration>",
        "<Prefix>p</Prefix>",
        "NoSuchConfiguration",
    ),
    (
        "analytics&id=a",
        "<AnalyticsConfiguration><Id>a</Id><StorageClassAnalysis/></AnalyticsConfiguration>",
        "<Id>a</Id>",
        "NoSuchConfiguration",
    ),
    (
        "intelligent-tiering&id=t",
        "<IntelligentTieringConfiguration><Id>t</Id><Status>Enabled</Status>\
         <Tiering><AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days></Tiering>\
         </IntelligentTieringConfiguration>",
        "ARCHIVE_ACCESS",
        "NoSuchConfiguration",
    ),
];

#[tokio::test]
async fn put_get_delete() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    for (part, document, holds, after) in KEPT {
        world.own(&format!("PUT /bbb?{part}"), *document).await.ok();
        let answer = world.own(&format!("GET /bbb?{part}"), "").await.ok();
        assert!(answer.body.contains(holds), "{part}: {answer:#?}");
        let answer = world.own(&format!("DELETE /bbb?{part}"), "").await;
        assert_eq!(answer.status.as_u16(), 204, "{part}: {answer:#?}");
        let answer = world.own(&format!("GET /bbb?{part}"), "").await;
        assert!(answer.body.contains(after), "{part}: {answer:#?}");
    }
}

#[tokio::test]
async fn put_only() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /logs", "").await.ok();
    let table = [
        (
            "accelerate",
            "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>",
            "Enabled",
        ),
        (
            "requestPayment",
            "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
            "Requester",
        ),
        (
            "logging",
            "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>\
             <TargetPrefix>p/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>",
            "<TargetBucket>logs",
        ),
    ];
    for (part, document, holds) in table {
        world.own(&format!("PUT /bbb?{part}"), document).await.ok();
        let answer = world.own(&format!("GET /bbb?{part}"), "").await.ok();
        assert!(answer.body.contains(holds), "{part}: {answer:#?}");
    }
    let nowhere = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>none</TargetBucket>\
                   <TargetPrefix/></LoggingEnabled></BucketLoggingStatus>";
    let answer = world.own("PUT /bbb?logging", nowhere).await;
    answer.fails(400, "InvalidTargetBucketForLogging");
    world.own("PUT /bbb?logging", "<BucketLoggingStatus/>").await.ok();
    assert!(!world.own("GET /bbb?logging", "").await.ok().body.contains("TargetBucket"));
}

#[tokio::test]
async fn account_level_calls() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let account = [("x-amz-account-id", "111111111111")];
    let block = "/v20180820/configuration/publicAccessBlock";
    let call = |who: &'static str, target: String, body: &'static str| {
        let world = &world;
        async move { world.call(who, &target, &account, body).await }
    };
    call("owner", format!("GET {block}"), "")
        .await
        .fails(404, "NoSuchPublicAccessBlockConfiguration");
    let document = "<PublicAccessBlockConfiguration>\
        <IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    call("owner", format!("PUT {block}"), document).await.ok();
    let answer = call("owner", format!("GET {block}"), "").await.ok();
    assert_eq!(answer.element("IgnorePublicAcls"), Some("true"));
    assert_eq!(answer.element("BlockPublicAcls"), Some("false"));
    call("other", format!("GET {block}"), "").await.fails(403, "AccessDenied");
    assert_eq!(call("", format!("GET {block}"), "").await.status.as_u16(), 403);
    call("owner", format!("DELETE {block}"), "").await.ok();
    call("owner", format!("GET {block}"), "")
        .await
        .fails(404, "NoSuchPublicAccessBlockConfiguration");

    let tags = "/v20180820/tags/arn%3Aaws%3As3%3A%3A%3Abbb";
    let two = "<TagResourceRequest><Tags><Tag><Key>a</Key><Value>1</Value></Tag>\
               <Tag><Key>b</Key><Value>2</Value></Tag></Tags></TagResourceRequest>";
    call("owner", format!("POST {tags}"), two).await.ok();
    call("owner", format!("DELETE {tags}?tagKeys=a"), "").await.ok();
    let answer = call("owner", format!("GET {tags}"), "").await.ok();
    assert_eq!((answer.element("Key"), answer.element("Value")), (Some("b"), Some("2")));
    call("other", format!("GET {tags}"), "").await.fails(403, "AccessDenied");
    let answer = call("owner", "GET /v20180820/accesspoint".to_owned(), "").await;
    assert!(answer.fails(501, "NotImplemented").body.contains("ListAccessPoints"));
}
