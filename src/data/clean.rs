//! Text cleaning, done only where a task says so. The published classification code takes
//! `BeautifulSoup(text, "lxml").text`, turns `\n`, `\t` and `\r` into spaces and collapses spaces.
//!
//! [`strip_html`] does what that `.text` does: tags, comments and processing instructions vanish
//! without a space in their place (so `film.<br />Really` becomes `film.Really`), entities are
//! decoded, and the contents of `script`, `style`, `template` and ruby annotations are left out.
//! It reads by the HTML standard where lxml reads by libxml2; the two differ on markup that no
//! review holds (nested `template`, text after an unclosed comment).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use html5ever::interface::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// The text of a piece of HTML: tags gone, entities decoded, leading white space gone.
pub fn strip_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '&']) {
        return Cow::Borrowed(text.trim_start());
    }
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from(text));
    let tokenizer = Tokenizer::new(Text::default(), TokenizerOpts::default());
    // a script's end hands control back to the caller, who goes on
    while let TokenizerResult::Script(()) | TokenizerResult::EncodingIndicator(_) = tokenizer.feed(&queue) {}
    tokenizer.end();
    let text = tokenizer.sink.text.into_inner();
    Cow::Owned(text.trim_start().to_owned())
}

/// `\n`, `\t` and `\r` become spaces, and runs of spaces become one.
pub fn squeeze_whitespace(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for letter in text.chars() {
        let letter = if matches!(letter, '\n' | '\t' | '\r') { ' ' } else { letter };
        if letter != ' ' || !squeezed.ends_with(' ') {
            squeezed.push(letter);
        }
    }
    squeezed
}

/// Elements whose contents are no text of the page.
const SILENT: [&str; 5] = ["script", "style", "template", "rt", "rp"];

#[derive(Default)]
struct Text {
    text: RefCell<String>,
    /// How many silent elements are open.
    silent: Cell<usize>,
}

impl TokenSink for Text {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::CharacterTokens(letters) if self.silent.get() == 0 => {
                self.text.borrow_mut().push_str(&letters);
            }
            Token::TagToken(tag) => {
                let name: &str = &tag.name;
                match tag.kind {
                    TagKind::StartTag if SILENT.contains(&name) => {
                        self.silent.set(self.silent.get() + 1);
                        if name == "script" {
                            return TokenSinkResult::RawData(RawKind::ScriptData);
                        }
                        if name == "style" {
                            return TokenSinkResult::RawData(RawKind::Rawtext);
                        }
                    }
                    TagKind::StartTag if matches!(name, "textarea" | "title") => {
                        return TokenSinkResult::RawData(RawKind::Rcdata);
                    }
                    TagKind::EndTag if SILENT.contains(&name) => {
                        self.silent.set(self.silent.get().saturating_sub(1));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: beautifulsoup4 4.15.0 with lxml, `BeautifulSoup(x, "lxml").text`, then the
    /// two substitutions.
    #[test]
    fn html_is_stripped_as_beautiful_soup_does() {
        let cases = [
            ("A fine film.<br /><br />Really.", "A fine film.Really."),
            (
                "a <b>bold</b> claim &amp; more &lt;3 &quot;x&quot; &#39;y&#39;",
                "a bold claim & more <3 \"x\" 'y'",
            ),
            ("one\ntwo\tthree\r\nfour  five", "one two three four five"),
            ("x<script>var a='<b>';</script>y<style>p{}</style>z", "xyz"),
            ("a<!-- note -->b", "ab"),
            ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
            ("i <3 you", "i <3 you"),
            ("AT&T &copy2020 caf&eacute; &nbsp;x", "AT&T ©2020 café \u{a0}x"),
            ("<p>unclosed <i>tags", "unclosed tags"),
            ("<textarea>t &amp; u</textarea> <title>w</title>", "t & u w"),
            ("tom & jerry &unknown; &#x1F642;", "tom & jerry &unknown; 🙂"),
            (" lead and trail ", "lead and trail "),
            ("<http://x.y>", ""),
            ("a</b>c", "ac"),
            ("p<?php echo ?>q", "pq"),
            ("<ruby>a<rt>b</rt></ruby>", "a"),
            ("<template>x</template>y", "y"),
        ];
        for (html, expected) in cases {
            assert_eq!(squeeze_whitespace(&strip_html(html)), expected, "{html}");
        }
    }
}
