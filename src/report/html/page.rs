//! HTML text in which nothing but literals of this program can be markup: every other text is escaped.

/// HTML on its way.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A text of the report's data, escaped.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What turns the direction of text can make it read as something else.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c if c.is_control() && c != '\n' && c != '\t' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Markup of this program's own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A picture that the charts made.
    pub(super) fn picture(&mut self, svg: &str) -> &mut Self {
        self.0.push_str(svg);
        self
    }

    /// An element with a text.
    pub(super) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A list, if it has items.
    pub(super) fn list(&mut self, items: &[String]) -> &mut Self {
        if items.is_empty() {
            return self;
        }
        self.raw("<ul>\n");
        for item in items {
            self.element("<li>", item, "</li>\n");
        }
        self.raw("</ul>\n")
    }

    /// The head of a table: a column is set right if its name ends in `>`.
    pub(super) fn head(&mut self, columns: &[&str]) -> &mut Self {
        self.raw("<table><thead><tr>");
        for column in columns {
            match column.strip_suffix('>') {
                Some(name) => self.element("<th class=\"n\">", name, "</th>"),
                None => self.element("<th>", column, "</th>"),
            };
        }
        self.raw("</tr></thead><tbody>\n")
    }

    /// The end of a table.
    pub(super) fn end_table(&mut self) -> &mut Self {
        self.raw("</tbody></table>\n")
    }

    /// A cell of words.
    pub(super) fn cell(&mut self, text: &str) -> &mut Self {
        self.element("<td>", text, "</td>")
    }

    /// A cell with a number, in groups of three digits.
    pub(super) fn number(&mut self, text: &str) -> &mut Self {
        let open = if text.starts_with('-') { "<td class=\"n minus\">" } else { "<td class=\"n\">" };
        self.element(open, &crate::report::words::grouped(text), "</td>")
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_become_markup() {
        let mut page = Page::default();
        page.element("<td>", "<script>alert('a')</script> & \"b\" \u{202e}x\u{0}", "</td>");
        assert_eq!(
            page.finish(),
            "<td>&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt; &amp; &quot;b&quot; \u{fffd}x\u{fffd}</td>"
        );
    }
}
