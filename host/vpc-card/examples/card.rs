//! Runs a card by itself: `card CONTROL-SOCKET TUN|sockets|- POOL POOL6`.

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("vpc_card") {
            eprintln!("{} {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(control), Some(tun), Some(pool), Some(pool6)) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        anyhow::bail!("usage: card CONTROL-SOCKET TUN|sockets|- POOL POOL6");
    };
    log::set_logger(&Stderr).map_err(|error| anyhow::anyhow!("{error}"))?;
    let level = std::env::var("LOG").ok().and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(log::LevelFilter::Info));
    vpc_card::run(vpc_card::Config {
        owner: format!("{control}.owner").into(),
        control: control.into(),
        uplink: match tun.as_str() {
            "-" => vpc_card::Way::None,
            "sockets" => vpc_card::Way::Sockets,
            _ => vpc_card::Way::Tun(tun),
        },
        public_pool: pool.parse()?,
        public_pool6: pool6.parse()?,
        resolvers: Vec::new(),
    })
}
