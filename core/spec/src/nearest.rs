//! Which of the valid names did somebody mean?

/// Letters of a name at most. Nobody means a longer one, and looking for what is like it takes their square.
const LONGEST: usize = 200;

/// The name that is most like what was said, if one is like it at all.
pub fn nearest<'a>(said: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if said.len() > LONGEST {
        return None;
    }
    let said = folded(said);
    let likeness = |name: &str| {
        let name = folded(name);
        let edits = strsim::damerau_levenshtein(&said, &name);
        let longer = said.chars().count().max(name.chars().count());
        // One slip in three letters is still a slip; `learn_rate` and `rate` are `learning_rate` cut short.
        let slip = edits <= (longer / 3).max(1) && edits < longer;
        let cut = said.len() >= 3 && (name.contains(&said) || said.contains(&name) && name.len() >= 4);
        let similarity = strsim::jaro_winkler(&said, &name);
        (slip || cut || similarity >= 0.88).then_some((edits, similarity))
    };
    let names = names.into_iter().filter(|name| name.len() <= LONGEST);
    let found = names.filter_map(|name| Some((likeness(name)?, name)));
    found
        .min_by(|((a, a_like), _), ((b, b_like), _)| a.cmp(b).then(b_like.total_cmp(a_like)))
        .map(|(_, name)| name)
}

fn folded(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let names = ["radix", "sharing", "learning_rate", "unroll_length", "unrolls_per_update", "seed"];
        for (said, meant) in [
            ("radx", "radix"),
            ("Radix", "radix"),
            ("shraing", "sharing"),
            ("learning-rate", "learning_rate"),
            ("rate", "learning_rate"),
            ("unroll", "unroll_length"),
            ("sede", "seed"),
        ] {
            assert_eq!(nearest(said, names), Some(meant), "{said}");
        }
        for said in ["x", "lr", "colour", "momentum", ""] {
            assert_eq!(nearest(said, names), None, "{said}");
        }
    }
}
