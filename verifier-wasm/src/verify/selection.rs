//! The claims of a token that the feed revokes by.

use std::sync::Arc;

use crate::json::{Object, Value};
use crate::snapshot::{
    ClaimValue, Fingerprint, Fingerprinter, Horizons, IssuerRules, ListedSelector, MAX_SELECTORS,
    Salt, Selector, Uses,
};
use crate::token::claims::MAX_ID_BYTES;
use crate::verify::defect::Defect;
use crate::verify::refusal::Refusal;

/// The feed's rules for one issuer that apply to a token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    pub(crate) epoch: u64,
    pub(crate) horizons: Horizons,
    /// In the order in which they are checked.
    pub(crate) selectors: Vec<Asked>,
}

/// One selector in use.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) selector: Selector,
    pub(crate) uses: Uses,
    /// For each path, the names along it.
    steps: Vec<Vec<String>>,
    printer: Fingerprinter,
}

impl Listed {
    pub(crate) fn new(rules: &IssuerRules, salt: Salt) -> Self {
        let mut selectors = Vec::with_capacity(rules.selectors.len());
        for kind in Matched::ALL {
            for ListedSelector { selector, uses } in &rules.selectors {
                if Matched::by(*uses) == kind {
                    let printer = Fingerprinter::new(salt, &rules.issuer, selector);
                    let (selector, steps) = (selector.clone(), selector.steps().collect());
                    selectors.push(Asked { selector, uses: *uses, steps, printer });
                }
            }
        }
        Self { epoch: rules.epoch, horizons: rules.horizons.clone(), selectors }
    }

    /// True if the fingerprints of a token are the same here and in `other`, in the same places.
    pub(crate) fn selects_as(&self, other: &Self) -> bool {
        let of_other = other.selectors.iter().map(|asked| &asked.selector);
        self.selectors.iter().map(|asked| &asked.selector).eq(of_other)
    }

    /// The fingerprints of a token's values for the feed's selectors.
    ///
    /// A value that no revocation can name is a refusal, never absent.
    #[inline(never)]
    pub(crate) fn select(&self, claims: &Object<'_>) -> Result<Selected, Refusal> {
        let mut selected = Selected::default();
        for (place, asked) in self.selectors.iter().enumerate() {
            asked.select(claims, place, &mut selected)?;
        }
        Ok(selected)
    }
}

impl Asked {
    /// Adds the fingerprint of the claims, or several if the one claim is an array.
    fn select(
        &self,
        claims: &Object<'_>,
        place: usize,
        selected: &mut Selected,
    ) -> Result<(), Refusal> {
        let paths = self.selector.paths();
        let mut values = Vec::with_capacity(paths.len());
        for (path, steps) in paths.iter().zip(&self.steps) {
            match value_at(claims, path, steps)? {
                None => {}
                Some(Value::Array(items)) if paths.len() == 1 && items.len() <= MAX_ITEMS => {
                    for item in items {
                        let text = item.as_text().ok_or_else(|| wrong(path, item.kind()))?;
                        if let Some(value) = text_value(path, text)? {
                            selected.add(place, self.printer.of(&[value]));
                        }
                    }
                }
                Some(value) => values.extend(single(path, value)?),
            }
        }
        if values.len() == paths.len() {
            selected.add(place, self.printer.of(&values));
        }
        Ok(())
    }
}

/// The value at a path; `None` if a name along it is missing.
fn value_at<'o, 'a>(
    claims: &'o Object<'a>,
    path: &str,
    steps: &[String],
) -> Result<Option<&'o Value<'a>>, Refusal> {
    let (Some((last, outer)), mut within) = (steps.split_last(), claims) else { return Ok(None) };
    for name in outer {
        match within.get(name) {
            Some(Value::Object(inner)) => within = inner,
            Some(value) => return Err(wrong(path, value.kind())),
            None => return Ok(None),
        }
    }
    Ok(within.get(last))
}

fn single<'v>(path: &str, value: &'v Value<'_>) -> Result<Option<ClaimValue<'v>>, Refusal> {
    match value {
        Value::Bool(value) => Ok(Some(ClaimValue::Bool(*value))),
        Value::Integer(number) => Ok(Some(ClaimValue::Integer((*number).into()))),
        Value::Negative(number) => Ok(Some(ClaimValue::Integer((*number).into()))),
        Value::Text(text) => text_value(path, text),
        value => Err(wrong(path, value.kind())),
    }
}

/// An empty text identifies nothing, so it counts as absent.
fn text_value<'v>(path: &str, text: &'v str) -> Result<Option<ClaimValue<'v>>, Refusal> {
    match text.len() {
        0 => Ok(None),
        length if length <= MAX_ID_BYTES => Ok(Some(text.into())),
        _ => Err(wrong(path, "a string of more than 256 bytes")),
    }
}

#[cold]
fn wrong(path: &str, found: &'static str) -> Refusal {
    let expected =
        "a string, a whole number, a boolean or an array of strings: tokens are revoked by it";
    Defect::Claim { name: path.to_owned().into(), found, expected }.into()
}

/// The fingerprints of a token, by the place of their selector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selected {
    /// Which of `first` are present.
    present: u8,
    first: [Fingerprint; MAX_SELECTORS],
    /// Further values of an array, and selectors beyond the first.
    more: Option<Arc<Vec<(usize, Fingerprint)>>>,
}

impl Selected {
    fn add(&mut self, place: usize, id: Fingerprint) {
        match self.first.get_mut(place) {
            Some(first) if self.present & bit(place) == 0 => {
                *first = id;
                self.present |= bit(place);
            }
            _ => Arc::make_mut(self.more.get_or_insert_default()).push((place, id)),
        }
    }

    /// The fingerprints for the selector in this place.
    pub(crate) fn at(&self, place: usize) -> impl Iterator<Item = Fingerprint> {
        let first = self.first.get(place).filter(|_| self.present & bit(place) != 0);
        let more = self.more.iter().flat_map(|more| more.iter());
        first
            .copied()
            .into_iter()
            .chain(more.filter(move |(of, _)| *of == place).map(|(_, id)| *id))
    }
}

fn bit(place: usize) -> u8 {
    u32::try_from(place).ok().and_then(|place| 1u8.checked_shl(place)).unwrap_or(0)
}

/// The matches of revocations, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matched {
    Token,
    Session,
    User,
    Claims,
}

impl Matched {
    const ALL: [Self; 4] = [Self::Token, Self::Session, Self::User, Self::Claims];

    pub(crate) fn by(uses: Uses) -> Self {
        match uses {
            uses if uses.has(Uses::TOKEN) => Self::Token,
            uses if uses.has(Uses::SESSION) => Self::Session,
            uses if uses.has(Uses::USER) => Self::User,
            _ => Self::Claims,
        }
    }
}

/// The most elements of an array that a selector matches.
const MAX_ITEMS: usize = 64;
