//! `larum silence`: messages held back for a while. Alerts are raised all the same. When the silence
//! ends, what is still open is sent, and one message tells of what was held and is over.

use crate::daemon::clock::Clock;
use crate::daemon::orders::Order;
use crate::daemon::shown;
use crate::record::Millis;
use crate::store::Store;

use super::place::{Place, operator, parse_id, told, wait_for};
use super::when::When;
use super::{Exit, Failure, Output, show};

/// Arguments of `larum silence`.
#[derive(Debug, clap::Args)]
pub struct Silence {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Begins a silence
    Add(Add),
    /// Lists silences
    List(List),
    /// Ends a silence: what it held back is due at once, what is over meanwhile in one message
    End(End),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Which alerts: `rule=..`, `level=..`, `tag=..`, `attack=..`, or a field of the group; all must hold.
    /// A `*` in a value is any text: `rule=*` is every alert of the tenant
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = parse_pair)]
    matches: Vec<(String, String)>,
    /// For how long: 30m, 2h, 7d
    #[arg(long = "for", value_name = "LENGTH", value_parser = parse_length)]
    length: Millis,
    /// From when on, for work that is planned; now unless told. Where that is past, it ends so long after it
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    from: Option<When>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = parse_why)]
    because: String,
    /// Who
    #[arg(long, value_name = "NAME", default_value_t = operator())]
    by: String,
    /// Whose alerts
    #[arg(long, value_name = "TENANT", default_value = "default")]
    tenant: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct End {
    /// The silence's id, or the beginning of it
    #[arg(value_parser = parse_id)]
    id: String,
    #[command(flatten)]
    place: Place,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value, such as user=ana")?;
    if name.is_empty() || value.is_empty() {
        return Err("write it as name=value, such as user=ana".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_why(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("say why, for whoever wonders later".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_length(text: &str) -> Result<Millis, String> {
    match Millis::parse(text) {
        Ok(length) if length > Millis::ZERO => Ok(length),
        Ok(_) => Err("a silence lasts longer than nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Silence {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Add(add) => {
                let Add { matches, length, from, because, by, tenant, place } = add;
                let from = from.map(|from| Ok::<_, Failure>(from.within(place.times()?.0))).transpose()?;
                let order = Order::Silence { tenant, matches, from, length, by, because };
                wait_for(async { Ok(told(place.order(&order).await?)) })
            }
            What::End(end) => {
                let order = Order::Unsilence { silence: end.id };
                wait_for(async { Ok(told(end.place.order(&order).await?)) })
            }
            What::List(list) => list.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        let now = Clock::wall().now();
        let silences = wait_for(async { Ok(store.silences(now).await?) })?;
        let mut silences = silences;
        silences.sort_by_key(|silence| (silence.from, silence.until, silence.id));
        for silence in &silences {
            let pairs: Vec<String> =
                silence.matches.iter().map(|(name, value)| format!("{name}={value}")).collect();
            match self.output {
                Output::Json => show::json(&shown::silence(silence))?,
                Output::Text => show::line(&show::safe(&format!(
                    "{}  {}until {}  {}  by {}: {}",
                    silence.id,
                    if silence.from > now {
                        format!("from {} ", times.at(silence.from))
                    } else {
                        String::new()
                    },
                    times.at(silence.until),
                    pairs.join(" "),
                    silence.by,
                    silence.because
                )))?,
            }
        }
        if silences.is_empty() {
            show::note("no silences");
        }
        Ok(Exit::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_says_what_and_why() {
        assert_eq!(parse_pair("user").unwrap_err(), "write it as name=value, such as user=ana");
        assert!(parse_pair("user=ana").is_ok());
        assert!(parse_why(" ").is_err());
    }
}
