//! Shrinking a list that fails a test.

/// Leaves out ever smaller runs of elements for as long as `fails` holds of the rest.
pub fn shrink<T: Clone>(mut list: Vec<T>, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    loop {
        let before = list.len();
        let mut length = list.len();
        while length > 0 {
            let mut at = 0;
            while at < list.len() {
                let mut shorter = list.clone();
                shorter.drain(at..(at + length).min(list.len()));
                if fails(&shorter) {
                    list = shorter;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        if list.len() == before {
            return list;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fails =
            |list: &[u32]| list.contains(&7) && list.iter().filter(|number| **number % 2 == 0).count() > 1;
        let list = shrink((0..100).collect(), fails);
        assert!(fails(&list));
        assert_eq!(list.len(), 3, "{list:?}");
    }

    #[test]
    fn nothing_may_be_left() {
        assert_eq!(shrink(vec![1, 2, 3], |_| true), []);
        assert_eq!(shrink(Vec::<u8>::new(), |_| true), []);
    }
}
