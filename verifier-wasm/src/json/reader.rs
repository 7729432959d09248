//! Reads JSON (RFC 8259) text, front to back.

use std::borrow::Cow;

use super::{Object, Value};

/// The rest of a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many more levels may begin.
    levels: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, levels: MAX_LEVELS }
    }

    /// The text as one value; `None` if it is anything else.
    pub(super) fn whole(mut self) -> Option<Value<'a>> {
        let value = self.value()?;
        self.space();
        (self.at == self.text.len()).then_some(value)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.space();
        match self.next()? {
            b'"' => self.rest_of_text().map(Value::Text),
            b'{' => self.nested(Self::rest_of_object),
            b'[' => self.nested(Self::rest_of_array),
            b't' => self.rest_of_word(b"rue", Value::Bool(true)),
            b'f' => self.rest_of_word(b"alse", Value::Bool(false)),
            b'n' => self.rest_of_word(b"ull", Value::Null),
            b'-' => {
                let first = self.next()?;
                self.rest_of_number(first, true)
            }
            first => self.rest_of_number(first, false),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Value<'a>>) -> Option<Value<'a>> {
        self.levels = self.levels.checked_sub(1)?;
        let value = read(self)?;
        self.levels = self.levels.wrapping_add(1);
        Some(value)
    }

    fn rest_of_array(&mut self) -> Option<Value<'a>> {
        let mut items = Vec::new();
        if self.skips(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.skips(b']') {
                return Some(Value::Array(items));
            }
            self.skips(b',').then_some(())?;
        }
    }

    fn rest_of_object(&mut self) -> Option<Value<'a>> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(USUAL_MEMBERS);
        // The places of further names, sorted by name: thousands of members must not take quadratic
        // time.
        let mut by_name: Vec<usize> = Vec::new();
        if self.skips(b'}') {
            return Some(Value::Object(Object(members)));
        }
        loop {
            self.skips(b'"').then_some(())?;
            let name = self.rest_of_text()?;
            let name_at = |at: &usize| members.get(*at).map_or("", |(name, _)| &**name);
            let place = by_name.binary_search_by(|at| name_at(at).cmp(&name)).err()?;
            if members.iter().take(USUAL_MEMBERS).any(|(found, _)| *found == name) {
                return None;
            }
            if members.len() >= USUAL_MEMBERS {
                by_name.insert(place, members.len());
            }
            self.skips(b':').then_some(())?;
            members.push((name, self.value()?));
            if self.skips(b'}') {
                return Some(Value::Object(Object(members)));
            }
            self.skips(b',').then_some(())?;
        }
    }

    fn rest_of_word(&mut self, rest: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        for byte in rest {
            (self.next()? == *byte).then_some(())?;
        }
        Some(value)
    }

    /// The text between the quotation marks, after the first one was read.
    fn rest_of_text(&mut self) -> Option<Cow<'a, str>> {
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.text.get(self.at..)?;
            let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let (plain, _) = rest.split_at_checked(rest.bytes().position(is_special)?)?;
            self.at = self.at.wrapping_add(plain.len());
            #[expect(clippy::arithmetic_side_effects, reason = "it joins texts")]
            {
                // This keeps borrowing if one of the two is empty.
                text += plain;
            }
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.to_mut().push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'u' => return self.utf16(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            same @ (b'"' | b'\\' | b'/') => char::from(same),
            _ => return None,
        })
    }

    /// One unit of UTF-16, or two that belong together.
    fn utf16(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xd800..=0xdbff).contains(&first) {
            return char::from_u32(u32::from(first));
        }
        self.rest_of_word(b"\\u", Value::Null)?;
        char::decode_utf16([first, self.unit()?]).next()?.ok()
    }

    fn unit(&mut self) -> Option<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16)?;
            unit = unit << 4 | u16::try_from(digit).ok()?;
        }
        Some(unit)
    }

    fn rest_of_number(&mut self, first: u8, is_negative: bool) -> Option<Value<'a>> {
        let mut number = Decimal { digits: digit(first)?, exponent: 0, is_whole: true };
        let mut is_integer = true;
        if first != b'0' {
            while let Some(digit) = self.digit() {
                number.push(digit);
            }
        }
        if self.follows(b'.') {
            is_integer = false;
            let mut count = 0i32;
            while let Some(digit) = self.digit() {
                count = count.saturating_add(1);
                number.push(digit);
            }
            (count > 0).then_some(())?;
            // The dropped digits have raised it by as much.
            number.exponent = number.exponent.saturating_sub(count);
        }
        if self.follows(b'e') || self.follows(b'E') {
            is_integer = false;
            let is_small = self.follows(b'-');
            if !is_small {
                self.follows(b'+');
            }
            let mut exponent = i32::from(u8::try_from(self.digit()?).ok()?);
            while let Some(digit) = self.digit() {
                let digit = i32::try_from(digit).ok()?;
                exponent = exponent.saturating_mul(10).saturating_add(digit);
            }
            let exponent = if is_small { exponent.saturating_neg() } else { exponent };
            number.exponent = number.exponent.saturating_add(exponent);
        }
        if is_integer && number.is_whole {
            match is_negative {
                false => return Some(Value::Integer(number.digits)),
                true if number.digits > 0 => {
                    if let Some(negative) = 0i64.checked_sub_unsigned(number.digits) {
                        return Some(Value::Negative(negative));
                    }
                }
                true => {}
            }
        }
        let float = number.to_float()?;
        Some(Value::Float(if is_negative { -float } else { float }))
    }

    fn digit(&mut self) -> Option<u64> {
        let digit = digit(*self.text.as_bytes().get(self.at)?)?;
        self.at = self.at.wrapping_add(1);
        Some(digit)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at).copied()?;
        self.at = self.at.wrapping_add(1);
        Some(byte)
    }

    /// Takes this byte, if it is the next one.
    fn follows(&mut self, byte: u8) -> bool {
        let is_next = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at = self.at.wrapping_add(usize::from(is_next));
        is_next
    }

    /// Takes white space and then this byte, if it is the next one.
    fn skips(&mut self, byte: u8) -> bool {
        self.space();
        self.follows(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at = self.at.wrapping_add(1);
        }
    }
}

/// A number without its sign: digits * 10^exponent.
struct Decimal {
    digits: u64,
    exponent: i32,
    /// False once there were more digits than fit; the rest of them was dropped.
    is_whole: bool,
}

impl Decimal {
    fn push(&mut self, digit: u64) {
        let more = self.digits.checked_mul(10).and_then(|digits| digits.checked_add(digit));
        match more.filter(|_| self.is_whole) {
            Some(digits) => self.digits = digits,
            None => {
                self.is_whole = false;
                self.exponent = self.exponent.saturating_add(1);
            }
        }
    }

    /// To about 15 digits; `None` beyond the range of f64.
    fn to_float(&self) -> Option<f64> {
        let Some(last) = self.digits.checked_ilog10() else { return Some(0.0) };
        // The power of ten of the first digit, and nineteen digits.
        let magnitude = i32::try_from(last).ok()?.saturating_add(self.exponent);
        let first = match 18u32.checked_sub(last) {
            Some(missing) => self.digits.checked_mul(10u64.checked_pow(missing)?)?,
            None => self.digits / 10,
        };
        if (magnitude, first) > LARGEST {
            return None;
        }
        #[expect(clippy::as_conversions, reason = "more digits than an f64 has are not needed")]
        let mut float = self.digits as f64;
        let mut exponent = self.exponent;
        // In two steps if the power alone is too large.
        if exponent < -300 {
            float /= 1e300;
            exponent = exponent.saturating_add(300);
        }
        let power = 10f64.powi(exponent.saturating_abs());
        float = if exponent < 0 { float / power } else { float * power };
        // If rounding exceeded it.
        Some(float.min(f64::MAX))
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(10).map(u64::from)
}

/// The largest number that is rounded to an f64: its power of ten, and nineteen digits of it.
const LARGEST: (i32, u64) = (308, 1_797_693_134_862_315_807);
/// The limit of serde_json; deeper nesting could exhaust the stack.
const MAX_LEVELS: u8 = 127;
/// Room for the claims of most tokens; this many names are compared one by one.
const USUAL_MEMBERS: usize = 12;
