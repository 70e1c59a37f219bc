//! `larum silence`: messages held back for a while. Alerts are raised all the same. When the silence
//! ends, what is still open is sent, and one message tells of what was held and is over.

use crate::daemon::clock::Clock;
use crate::daemon::orders::Order;
use crate::daemon::shown;
use crate::record::field::VOCABULARY;
use crate::record::{FieldName, Level, Millis, Timestamp};
use crate::route::Pattern;
use crate::rule::suggest;
use crate::store::Store;

use super::explain::parse_time;
use super::place::{Place, operator, told, wait_for};
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
    /// Which alerts: `rule=..`, `level=..`, `tag=..`, `attack=..`, or a field of the group; all must hold
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = parse_pair)]
    matches: Vec<(String, String)>,
    /// For how long: 30m, 2h, 7d
    #[arg(long = "for", value_name = "LENGTH", value_parser = parse_length)]
    length: Millis,
    /// From when on, for work that is planned; now unless told
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
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
    id: String,
    #[command(flatten)]
    place: Place,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value, such as user=ana")?;
    if name.is_empty() || value.is_empty() {
        return Err("write it as name=value, such as user=ana".to_owned());
    }
    match name {
        "level" => {
            let pattern = Pattern::new(value);
            if !Level::ALL.iter().any(|level| pattern.accepts(level.as_str())) {
                let levels = Level::ALL.map(Level::as_str);
                let near = suggest::nearest(value, levels).map(|near| format!("; did you mean `{near}`?"));
                let near = near.unwrap_or_default();
                return Err(format!("no level is `{value}`{near} known: {}", levels.join(", ")));
            }
        }
        "rule" | "tag" | "attack" => {}
        field => {
            if FieldName::resolve(field).is_none() && !OWN_GROUPS.contains(&field) {
                return Err(unknown(field));
            }
        }
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// What Larum's own alerts are grouped by.
const OWN_GROUPS: [&str; 6] = ["source", "receiver", "configuration", "store", "file", "of_rule"];

fn unknown(field: &str) -> String {
    let fixed = ["rule", "level", "tag", "attack"];
    let names = VOCABULARY.iter().map(|info| info.name).chain(fixed);
    let hint = match suggest::nearest(field, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "known: rule, level, tag, attack, and fields that rules group `by`".to_owned(),
    };
    format!("no alert has `{field}`; {hint}")
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
        let store = self.place.look()?;
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
                    "{}  until {}  {}  by {}: {}",
                    silence.id,
                    silence.until,
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
    fn a_silence_that_could_hold_nothing_is_refused_with_the_way_out() {
        for (text, said) in [
            ("usr=ana", "no alert has `usr`; did you mean `user`?"),
            (
                "level=hgh",
                "no level is `hgh`; did you mean `high`? known: informational, low, medium, high, critical",
            ),
            ("user", "write it as name=value, such as user=ana"),
        ] {
            assert_eq!(parse_pair(text).unwrap_err(), said);
        }
        for text in ["user=ana", "level=h*", "rule=failure-burst", "public_ip=203.0.113.9", "receiver=hook"] {
            assert!(parse_pair(text).is_ok(), "{text}");
        }
        assert!(parse_why(" ").is_err());
    }
}
