//! Which of the names that there are did somebody mean?

/// The name that was meant, it seems, of names as they may be said and as they are.
pub(crate) fn nearest<N>(said: &str, names: impl IntoIterator<Item = (String, N)>) -> Option<N> {
    let said = said.to_lowercase();
    // One slip in three letters is still a slip.
    let most = (said.chars().count() / 3).max(1);
    let near = names.into_iter().map(|(folded, name)| (strsim::damerau_levenshtein(&said, &folded), name));
    near.filter(|(edits, _)| *edits <= most && said.chars().nth(1).is_some())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}
