//! How a layer connects inputs to outputs, as an SVG: a column of nodes before and after each stage, a line for each
//! connection.
use efference_abi::{Edge, Size};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Most nodes of a column that can be drawn legibly.
pub const MOST_NODES: i64 = 256;
/// Most connections of a stage that are lines and not one grey area.
pub const MOST_EDGES: usize = 8_192;

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// What stands over it: the layer, its size and options.
    pub title: String,
    /// The connections from one column to the next, as a layer tells them.
    pub stages: Vec<(Size, Vec<Edge>)>,
    /// An input, counted from 0, all that depends on which is drawn in colour.
    pub highlight: Option<i64>,
}

/// Why it can't be drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawingError {
    /// There is nothing to draw.
    #[error("there are no connections to draw")]
    Empty,
    /// There are too many nodes.
    #[error(
        "a column of {nodes} nodes can't be drawn legibly, {MOST_NODES} can: choose fewer --ins and --outs; a smaller layer \
         of the same options shows the same pattern"
    )]
    Nodes {
        /// How many.
        nodes: i64,
    },
    /// There are too many connections.
    #[error(
        "a stage of {edges} connections would be one grey area, up to {MOST_EDGES} are lines: choose fewer --ins and --outs"
    )]
    Edges {
        /// How many.
        edges: usize,
    },
    /// There is no such input.
    #[error("there is no input {input} to show: the layer has inputs 0 to {}", ins - 1)]
    Input {
        /// The one that was asked for.
        input: i64,
        /// How many there are.
        ins: i64,
    },
}

const MARGIN: f64 = 16.0;
/// Where the first node is: below the title and the line under it.
const TOP: f64 = 58.0;
const LINE: &str = "#7a7a7a";
const NODE: &str = "#d9d9d9";
const ACCENT: &str = "#d1495b";

impl Drawing {
    /// The SVG.
    ///
    /// # Errors
    /// If there are too many nodes or connections, or none.
    pub fn svg(&self) -> Result<String, DrawingError> {
        self.check()?;
        let columns = self.columns();
        let most = columns.iter().copied().max().unwrap_or(1) as f64;
        // Few nodes stand far apart, many close; a column is never less high than a text is wide.
        let apart = (280.0 / most).clamp(6.0, 34.0).max(if most <= 64.0 { 8.0 } else { 0.0 });
        let height = (most * apart).max(60.0);
        let stages = self.stages.len() as f64;
        let apart_columns = (0.3 * height).clamp(120.0, 260.0).max(480.0 / stages);
        let (width, bottom) = (apart_columns * stages + 2.0 * MARGIN, TOP + height);
        let radius = (0.28 * apart).clamp(1.6, 4.5);
        let place = Place { apart_columns, height, columns: &columns };

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{:.0}\" viewBox=\"0 0 {width:.0} {:.0}\" \
             font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            bottom + MARGIN,
            bottom + MARGIN
        );
        let mut add = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).unwrap_or(()); // a String takes all
        add(format_args!(
            "<text x=\"{MARGIN}\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#222222\">{}</text>\n\
             <text x=\"{MARGIN}\" y=\"42\" font-size=\"12\" fill=\"#555555\">{}</text>\n",
            escaped(&self.title),
            self.summary()
        ));
        let reached = self.highlight.map(|input| self.reached(input));
        for (number, (_, edges)) in self.stages.iter().enumerate() {
            let lit = |edge: &Edge| reached.as_ref().is_some_and(|r| r[number].contains(&edge.from));
            // Where lines lie closer than they are wide, thin ones that let others shine through still show a pattern.
            let density = edges.len() as f64 / height;
            let (stroke, opacity) = match density {
                ..1.5 => ((apart / 9.0).min(1.0), 1.0),
                ..4.0 => (0.6, 0.7),
                _ => (0.4, 0.35),
            };
            let lines = place.lines(number, edges.iter().filter(|edge| !lit(edge)));
            add(format_args!(
                "<g fill=\"none\" stroke=\"{LINE}\" stroke-width=\"{stroke}\" stroke-opacity=\"{opacity}\">{lines}</g>\n"
            ));
            let lines = place.lines(number, edges.iter().filter(|edge| lit(edge)));
            if !lines.is_empty() {
                add(format_args!("<g fill=\"none\" stroke=\"{ACCENT}\" stroke-width=\"1.6\">{lines}</g>\n"));
            }
        }
        for (column, nodes) in columns.iter().enumerate() {
            add(format_args!("<g fill=\"{NODE}\" stroke=\"{LINE}\" stroke-width=\"{:.1}\">", 0.25 * radius));
            for node in 0..*nodes {
                let (x, y) = place.node(column, node);
                let lit = reached.as_ref().is_some_and(|reached| reached[column].contains(&node));
                let fill = if lit { format!(" fill=\"{ACCENT}\"") } else { String::new() };
                add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"{fill}/>"));
            }
            add(format_args!("</g>\n"));
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    fn check(&self) -> Result<(), DrawingError> {
        let Some((first, _)) = self.stages.first() else { return Err(DrawingError::Empty) };
        if let Some(nodes) = self.columns().into_iter().find(|nodes| *nodes > MOST_NODES) {
            return Err(DrawingError::Nodes { nodes });
        }
        if let Some((_, edges)) = self.stages.iter().find(|(_, edges)| edges.len() > MOST_EDGES) {
            return Err(DrawingError::Edges { edges: edges.len() });
        }
        match self.highlight {
            Some(input) if !(0..first.ins).contains(&input) => {
                Err(DrawingError::Input { input, ins: first.ins })
            }
            _ => Ok(()),
        }
    }

    /// How many nodes each column has.
    fn columns(&self) -> Vec<i64> {
        let first = self.stages.first().map(|(nodes, _)| nodes.ins);
        first.into_iter().chain(self.stages.iter().map(|(nodes, _)| nodes.outs)).collect()
    }

    /// `3 stages, 48 connections with 24 weights`
    pub fn summary(&self) -> String {
        let weighted = |edges: &Vec<Edge>| edges.iter().filter(|edge| edge.weight >= 0).count();
        let distinct = |edges: &Vec<Edge>| {
            let weights = edges.iter().map(|edge| edge.weight).filter(|weight| *weight >= 0);
            weights.collect::<BTreeSet<i64>>().len()
        };
        let sum =
            |of: &dyn Fn(&Vec<Edge>) -> usize| self.stages.iter().map(|(_, edges)| of(edges)).sum::<usize>();
        let (connections, weights) = (sum(&weighted), sum(&distinct));
        let plain = sum(&Vec::len) - connections;
        let count = |n: usize, what: &str| {
            format!("{} {what}{}", efference_runs::Grouped(n as u64), if n == 1 { "" } else { "s" })
        };
        let mut text = format!(
            "{}, {} with {}",
            count(self.stages.len(), "stage"),
            count(connections, "connection"),
            count(weights, "weight")
        );
        if plain > 0 {
            text += &format!(", {}", count(plain, "skip connection"));
        }
        text
    }

    /// The nodes of each column that depend on an input.
    fn reached(&self, input: i64) -> Vec<BTreeSet<i64>> {
        let mut reached = vec![BTreeSet::from([input])];
        for (number, (_, edges)) in self.stages.iter().enumerate() {
            let lit = edges.iter().filter(|edge| reached[number].contains(&edge.from));
            let next = lit.map(|edge| edge.to).collect();
            reached.push(next);
        }
        reached
    }
}

/// Where nodes are.
struct Place<'a> {
    apart_columns: f64,
    height: f64,
    columns: &'a [i64],
}

impl Place<'_> {
    /// A column with few nodes is spread over the whole height; one that lacks only what pads a size up is not, so that
    /// straight connections stay straight.
    fn node(&self, column: usize, node: i64) -> (f64, f64) {
        let most = self.columns.iter().copied().max().unwrap_or(1);
        let own = self.columns[column];
        let places = if 4 * own >= 3 * most { most } else { own };
        let y = TOP + (node as f64 + 0.5) / places as f64 * self.height;
        (MARGIN + column as f64 * self.apart_columns, y)
    }

    /// A path for the connections of each node: where paths cross, both show, as lines of one path do not.
    fn lines<'e>(&self, stage: usize, edges: impl Iterator<Item = &'e Edge>) -> String {
        let mut ends: Vec<(i64, i64)> = edges.map(|edge| (edge.from, edge.to)).collect();
        ends.sort_unstable();
        ends.dedup(); // a skip connection beside a weight, or two weights
        let mut text = String::new();
        let right = self.node(stage + 1, 0).0;
        for from_one in ends.chunk_by(|a, b| a.0 == b.0) {
            text.push_str("<path d=\"");
            for (from, to) in from_one {
                let ((x, y), (_, end)) = (self.node(stage, *from), self.node(stage + 1, *to));
                let _ = write!(text, "M{x:.1} {y:.1}L{right:.1} {end:.1}"); // a String takes all
            }
            text.push_str("\"/>");
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(ins: i64, outs: i64) -> (Size, Vec<Edge>) {
        let edges =
            (0..ins).flat_map(|from| (0..outs).map(move |to| Edge { from, to, weight: to * ins + from }));
        (Size { ins, outs }, edges.collect())
    }

    fn drawing(stages: Vec<(Size, Vec<Edge>)>) -> Drawing {
        Drawing { title: "a < b".to_owned(), stages, highlight: None }
    }

    #[test]
    fn there_is_a_circle_a_node_and_a_line_a_connection() {
        let mut skip = dense(3, 3);
        skip.1.extend((0..3).map(|node| Edge { from: node, to: node, weight: -1 }));
        skip.1.iter_mut().for_each(|edge| edge.weight = edge.weight.min(4));
        let two = drawing(vec![dense(4, 3), skip]);
        let svg = two.svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 4 + 3 + 3);
        // A skip connection lies where a weight is.
        assert_eq!(svg.matches("L").count(), 4 * 3 + 3 * 3);
        assert!(svg.contains(">a &lt; b</text>"), "{svg}");
        assert_eq!(two.summary(), "2 stages, 21 connections with 17 weights, 3 skip connections");
        crate::png_of_svg(&svg, 1.0).unwrap();
    }

    #[test]
    fn what_depends_on_an_input_is_in_colour() {
        // A butterfly of 4: input 1 reaches 1 and 3, and from there all.
        let stage = |apart: i64| {
            let edges =
                (0..4).flat_map(|from: i64| [from, from ^ apart].map(|to| Edge { from, to, weight: 0 }));
            (Size { ins: 4, outs: 4 }, edges.collect::<Vec<_>>())
        };
        let lit = Drawing { highlight: Some(1), ..drawing(vec![stage(2), stage(1)]) };
        let svg = lit.svg().unwrap();
        assert_eq!(svg.matches(&format!("fill=\"{ACCENT}\"")).count(), 1 + 2 + 4);
        let of_accent = svg.split("<g ").filter(|group| group.contains(&format!("stroke=\"{ACCENT}\"")));
        assert_eq!(of_accent.map(|group| group.matches('L').count()).sum::<usize>(), 2 + 4);
        let error = Drawing { highlight: Some(4), ..lit }.svg().unwrap_err().to_string();
        assert_eq!(error, "there is no input 4 to show: the layer has inputs 0 to 3");
    }

    #[test]
    fn what_would_be_illegible_is_refused() {
        let said = |stages| drawing(stages).svg().unwrap_err().to_string();
        assert_eq!(said(vec![]), "there are no connections to draw");
        let nodes = said(vec![(Size { ins: 257, outs: 2 }, vec![])]);
        assert!(nodes.starts_with("a column of 257 nodes") && nodes.contains("--ins"), "{nodes}");
        let edges = said(vec![dense(100, 100)]);
        assert!(edges.starts_with("a stage of 10000 connections") && edges.contains("--ins"), "{edges}");
    }
}
