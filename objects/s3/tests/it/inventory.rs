//! Inventories, by a clock that is set forward.

use crate::world::World;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn inventory(id: &str, frequency: &str, more: &str) -> String {
    format!(
        "<InventoryConfiguration><Id>{id}</Id><IsEnabled>true</IsEnabled>\
         <Destination><S3BucketDestination><Bucket>arn:aws:s3:::lists</Bucket><Format>CSV</Format>\
         <Prefix>in</Prefix></S3BucketDestination></Destination>\
         <Schedule><Frequency>{frequency}</Frequency></Schedule>{more}</InventoryConfiguration>"
    )
}

const CURRENT: &str = "<IncludedObjectVersions>Current</IncludedObjectVersions>";

fn policy(source: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",
        "Principal":{{"Service":"s3.amazonaws.com"}},"Action":"s3:PutObject",
        "Resource":"arn:aws:s3:::lists/*","Condition":{{
        "ArnLike":{{"aws:SourceArn":"arn:aws:s3:::{source}"}},
        "StringEquals":{{"aws:SourceAccount":"111111111111",
        "s3:x-amz-acl":"bucket-owner-full-control"}}}}}}}}"#
    )
}

async fn keys(world: &World) -> Vec<String> {
    let listed = world.own("GET /lists?prefix=in/", "").await.ok().body;
    let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next());
    keys.map(str::to_owned).collect()
}

#[tokio::test]
async fn lists_are_written_when_they_are_due() {
    let world = World::new();
    for bucket in ["source", "lists"] {
        world.own(&format!("PUT /{bucket}"), "").await.ok();
    }
    let put = |id: &'static str, frequency: &'static str, more: &'static str| {
        let world = &world;
        let document = inventory(id, frequency, more);
        async move { world.own(&format!("PUT /source?inventory&id={id}"), document).await }
    };
    put("daily", "Daily", CURRENT).await.ok();
    put("weekly", "Weekly", CURRENT).await.ok();
    let write = || {
        let world = &world;
        async move { world.gateway.write_inventories().await.expect("storage") }
    };
    assert_eq!(write().await, 0, "the destination's policy lets nobody write");
    world.own("PUT /lists?policy", policy("another")).await.ok();
    assert_eq!(write().await, 0, "it lets only another bucket's");
    world.own("PUT /lists?policy", policy("source")).await.ok();
    assert_eq!(write().await, 2);
    assert_eq!(write().await, 0, "each of them once");
    world.clock.advance(DAY);
    assert_eq!(write().await, 1, "one of them daily");
    world.clock.advance(6 * DAY);
    assert_eq!(write().await, 2);
    let keys = keys(&world).await;
    let count = |part: &str| keys.iter().filter(|key| key.contains(part)).count();
    assert_eq!((count("in/source/daily/"), count("in/source/weekly/")), (12, 8), "{keys:#?}");
    for part in ["/data/", "/manifest.json", "/manifest.checksum", "/hive/dt="] {
        assert_eq!(count(part), 5, "{keys:#?}");
    }
    let day = keys.iter().find(|key| key.ends_with("manifest.json")).expect("a manifest");
    let manifest = world.own(&format!("GET /lists/{day}"), "").await.ok();
    let sum = day.replace("manifest.json", "manifest.checksum");
    let sum = world.own(&format!("GET /lists/{sum}"), "").await.ok().body;
    assert_eq!(manifest.header("etag"), Some(format!("\"{sum}\"").as_str()));
    let manifest: serde_json::Value = serde_json::from_str(&manifest.body).expect("JSON");
    assert_eq!(manifest["sourceBucket"], "source");
    assert_eq!(manifest["destinationBucket"], "arn:aws:s3:::lists");
    assert_eq!(manifest["fileSchema"], "Bucket, Key");
    let file = &manifest["files"][0];
    let data =
        world.own(&format!("HEAD /lists/{}", file["key"].as_str().expect("a key")), "").await;
    let etag = format!("\"{}\"", file["MD5checksum"].as_str().expect("a sum"));
    assert_eq!(data.ok().header("etag"), Some(etag.as_str()));
    // Once it is gone, it is no longer known when it was written.
    world.own("DELETE /source?inventory&id=daily", "").await.ok();
    assert_eq!(write().await, 0);
    put("daily", "Daily", CURRENT).await.ok();
    assert_eq!(write().await, 1);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let world = World::new();
    world.own("PUT /source", "").await.ok();
    let good = inventory("i", "Daily", CURRENT);
    let kms = "<Encryption><SSE-KMS><KeyId>k</KeyId></SSE-KMS></Encryption>";
    let table = [
        (good.replace("CSV", "ORC"), 501, "NotImplemented"),
        (good.replace("CSV", "Parquet"), 501, "NotImplemented"),
        (good.replace("CSV", "JSON"), 400, "MalformedXML"),
        (good.replace("Daily", "Hourly"), 400, "MalformedXML"),
        (good.replace("Current", "Some"), 400, "MalformedXML"),
        (good.replace("arn:aws:s3:::lists", "lists"), 400, "InvalidArgument"),
        (good.replace("<Format>", &format!("{kms}<Format>")), 501, "NotImplemented"),
        (
            good.replace(
                "<Schedule>",
                "<OptionalFields><Field>Colour</Field></OptionalFields><Schedule>",
            ),
            400,
            "MalformedXML",
        ),
    ];
    for (document, status, code) in table {
        let answer = world.own("PUT /source?inventory&id=i", document.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{document}");
    }
    world.own("PUT /source?inventory&id=other", good.clone()).await.fails(400, "IdMismatch");
    world.own("PUT /source?inventory&id=i", good).await.ok();
}
