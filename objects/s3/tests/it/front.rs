//! What is answered around the API: cross-origin requests and websites.

use crate::world::World;

const CORS: &str = "<CORSConfiguration><CORSRule>\
    <AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
    <AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
    </CORSConfiguration>";

#[tokio::test]
async fn preflights() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let origin = ("origin", "https://a.example.com");
    let put = ("access-control-request-method", "PUT");
    let preflight = |headers: Vec<(&'static str, &'static str)>| {
        let world = &world;
        async move { world.call("", "OPTIONS /bbb/k", &headers, "").await }
    };
    preflight(vec![origin, put]).await.fails(403, "AccessForbidden");
    world.own("PUT /bbb?cors", CORS).await.ok();
    let answer = preflight(vec![origin, put]).await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example.com"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, PUT"));
    assert_eq!(answer.header("access-control-max-age"), Some("60"));
    let asked = ("access-control-request-headers", "X-Amz-Date");
    let answer = preflight(vec![origin, put, asked]).await.ok();
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-amz-date"));
    let other = ("access-control-request-headers", "x-other");
    preflight(vec![origin, put, other]).await.fails(403, "AccessForbidden");
    preflight(vec![("origin", "https://example.org"), put]).await.fails(403, "AccessForbidden");
    preflight(vec![put]).await.fails(400, "BadRequest");
    preflight(vec![origin]).await.fails(400, "BadRequest");
    let answer = world.call("", "OPTIONS /none/k", &[origin, put], "").await;
    assert!(answer.fails(403, "AccessForbidden").body.contains("Bucket not found"));
    // Virtual hosts, too.
    let answer = world.call("", "OPTIONS bbb.localhost/k", &[origin, put], "").await.ok();
    assert!(answer.header("access-control-allow-origin").is_some());
}

#[tokio::test]
async fn actual_requests() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /bbb?cors", CORS).await.ok();
    world.own("PUT /bbb/k", "x").await.ok();
    let origin = [("origin", "https://a.example.com")];
    let answer = world.call("owner", "GET /bbb/k", &origin, "").await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example.com"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"));
    let answer = world.call("", "GET /bbb/k", &origin, "").await.fails(403, "AccessDenied");
    assert!(answer.header("access-control-allow-origin").is_some(), "{answer:#?}");
    let elsewhere = [("origin", "https://example.org")];
    let answer = world.call("owner", "GET /bbb/k", &elsewhere, "").await.ok();
    assert!(answer.header("access-control-allow-origin").is_none());
    assert!(world.own("GET /bbb/k", "").await.ok().header("vary").is_none());
}

const SITE: &str = "bbb.s3-website-us-east-1.localhost:4566";

async fn site(rules: &str) -> World {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("DELETE /bbb?publicAccessBlock", "").await.ok();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::bbb","arn:aws:s3:::bbb/*"]}]}"#;
    world.own("PUT /bbb?policy", policy).await.ok();
    let website = format!(
        "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>\
         <ErrorDocument><Key>error.html</Key></ErrorDocument>{rules}</WebsiteConfiguration>"
    );
    world.own("PUT /bbb?website", website).await.ok();
    for key in ["index.html", "docs/index.html", "docs/a.html"] {
        let html = [("content-type", "text/html")];
        world.call("owner", &format!("PUT /bbb/{key}"), &html, key).await.ok();
    }
    world
}

#[tokio::test]
async fn pages() {
    let world = site("").await;
    let get = |path: &'static str| {
        let world = &world;
        async move { world.call("", &format!("GET {SITE}{path}"), &[], "").await }
    };
    for (path, body) in
        [("/", "index.html"), ("/docs/", "docs/index.html"), ("/docs/a.html", "docs/a.html")]
    {
        let answer = get(path).await.ok();
        assert_eq!(
            (answer.body.as_str(), answer.header("content-type")),
            (body, Some("text/html"))
        );
    }
    let answer = get("/docs").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, Some("/docs/")));
    // The error document isn't there yet.
    let answer = get("/none").await;
    assert_eq!(answer.status.as_u16(), 404);
    assert!(answer.body.contains("<li>Code: NoSuchKey</li>"), "{answer:#?}");
    assert!(answer.body.contains("Custom Error Document"), "{answer:#?}");
    world.own("PUT /bbb/error.html", "oops").await.ok();
    let answer = get("/none").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (404, "oops"));
    let answer = world.call("", &format!("POST {SITE}/"), &[], "").await;
    assert_eq!(answer.status.as_u16(), 405);
    assert!(answer.body.contains("MethodNotAllowed"), "{answer:#?}");
    let answer = world.call("", "GET none.s3-website.localhost/", &[], "").await;
    assert_eq!(answer.status.as_u16(), 404);
    assert!(answer.body.contains("NoSuchBucket"), "{answer:#?}");
    let there = [("x-amz-website-redirect-location", "/docs/a.html")];
    world.call("owner", "PUT /bbb/moved", &there, "").await.ok();
    let answer = get("/moved").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (301, Some("/docs/a.html")));
}

#[tokio::test]
async fn private_pages_are_private() {
    let world = site("").await;
    world.own("DELETE /bbb?policy", "").await.ok();
    let answer = world.call("", &format!("GET {SITE}/"), &[], "").await;
    assert_eq!(answer.status.as_u16(), 403);
    assert!(answer.body.contains("<li>Code: AccessDenied</li>"), "{answer:#?}");
    // A signature makes no difference.
    let answer = world.own(&format!("GET {SITE}/"), "").await;
    assert_eq!(answer.status.as_u16(), 403);
}

#[tokio::test]
async fn routing_rules() {
    let world = site(
        "<RoutingRules><RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition>\
         <Redirect><ReplaceKeyPrefixWith>docs/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
         <RoutingRule><Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>\
         </Condition><Redirect><HostName>elsewhere.example</HostName>\
         <HttpRedirectCode>307</HttpRedirectCode></Redirect></RoutingRule></RoutingRules>",
    )
    .await;
    let answer = world.call("", &format!("GET {SITE}/old/a.html"), &[], "").await;
    assert_eq!(answer.status.as_u16(), 301);
    assert_eq!(answer.header("location"), Some(&*format!("http://{SITE}/docs/a.html")));
    let answer = world.call("", &format!("GET {SITE}/none"), &[], "").await;
    assert_eq!(answer.status.as_u16(), 307);
    assert_eq!(answer.header("location"), Some("http://elsewhere.example/none"));
    world.call("", &format!("GET {SITE}/"), &[], "").await.ok();
}

#[tokio::test]
async fn documents_are_what_was_sent() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /bbb/k", "x").await.ok();
    let document = "<Delete><Object><Key>k</Key></Object></Delete>";
    let wrong = [
        ("content-md5", "rL0Y20xC+Fzt72VPzMSk2A==", "BadDigest"),
        ("content-md5", "rL0Y", "InvalidDigest"),
        ("content-md5", "", "InvalidDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-sha256", "AAAA", "InvalidRequest"),
    ];
    for (name, value, code) in wrong {
        let answer = world.call("owner", "POST /bbb?delete", &[(name, value)], document).await;
        answer.fails(400, code);
        world.own("GET /bbb/k", "").await.ok();
    }
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let md5 = [("content-md5", "rL0Y20xC+Fzt72VPzMSk2A==")];
    world.call("owner", "PUT /bbb?versioning", &md5, versioning).await.fails(400, "BadDigest");
    let status = world.own("GET /bbb?versioning", "").await.ok();
    assert_eq!(status.element("Status"), None, "{status:#?}");
    let right = [("content-md5", "5DKh5iefM5MSKvRILIuFwQ==")];
    let answer = world.call("owner", "POST /bbb?delete", &right, document).await;
    assert!(answer.body.contains("<Deleted><Key>k</Key></Deleted>"), "{answer:#?}");
}

#[tokio::test]
async fn nothing_comes_in_after_the_end() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.gateway.finish().await;
    let answer = world.own("PUT /bbb/k", "x").await.fails(503, "ServiceUnavailable");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn an_archived_object_is_restored_and_then_again() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let cold = [("x-amz-storage-class", "GLACIER")];
    world.call("owner", "PUT /bbb/k", &cold, "x").await.ok();
    let document = "<RestoreRequest><Days>1</Days></RestoreRequest>";
    for status in [202, 200] {
        let answer = world.own("POST /bbb/k?restore", document).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:#?}");
        assert_eq!(answer.header("x-fogbank-status"), None);
    }
}
