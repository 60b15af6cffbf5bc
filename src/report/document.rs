//! A page before it is written as HTML or Markdown: plain texts, tables and figures. Texts are
//! unescaped; each writer escapes for its own language.

/// A heading with what follows it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub(super) enum Block {
    Paragraph(String),
    List(Vec<String>),
    Code(String),
    Table(Table),
    Figure(Figure),
}

/// A table whose first column names the row; the caption stands above it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// How many columns, from the first, hold texts; the others hold numbers.
    pub(super) texts: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// The chosen layer's row.
    pub(super) marked: bool,
}

/// A figure that is also a file.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// Name of its files without the ending.
    pub(super) name: String,
    pub(super) svg: String,
    /// What it shows, for those who do not see it.
    pub(super) alternative: String,
    pub(super) caption: String,
}

/// A whole report.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) title: String,
    /// The answer; its first sentence is the first sentence of the page.
    pub(super) lead: String,
    pub(super) sections: Vec<Section>,
}

impl Document {
    /// Whether one of its figures has this name.
    pub(super) fn has_figure(&self, name: &str) -> bool {
        let mut blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.any(|block| matches!(block, Block::Figure(figure) if figure.name == name))
    }
}

impl Table {
    /// A table of two columns, from pairs.
    pub(super) fn of_pairs(caption: &str, header: [&str; 2], pairs: &[(String, String)]) -> Self {
        Self {
            caption: caption.to_owned(),
            header: header.map(str::to_owned).into(),
            rows: pairs
                .iter()
                .map(|(key, value)| Row { cells: vec![key.clone(), value.clone()], marked: false })
                .collect(),
            texts: 2,
        }
    }
}
