use inkhook_wire::payload::Direction;
use inkhook_wire::payload::context::{ContextMail, ContextText, ContextTextChannel};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn text(number: u128, length: usize) -> ContextItem {
    ContextItem::Text(ContextText {
        id: Uuid::from_u128(number),
        channel: ContextTextChannel::Sms,
        direction: Direction::Inbound,
        text: "x".repeat(length),
        text_truncated: false,
        created_at: "2026-05-28T20:26:40Z".into(),
        sender: None,
        status: None,
        media: None,
    })
}

fn mail(number: u128, length: usize) -> ContextItem {
    ContextItem::Mail(ContextMail {
        id: Uuid::from_u128(number),
        direction: Direction::Outbound,
        from_address: "a@example.org".into(),
        to_addresses: vec!["b@example.org".into()],
        created_at: "2026-05-28T20:26:40Z".into(),
        subject: Some("x".repeat(length)),
        snippet: None,
        email_address: None,
    })
}

fn block(class: Class, items: Vec<(i64, ContextItem)>) -> Block {
    let items = items.into_iter().map(|(seq, item)| Item::new(Seq(seq), item)).collect();
    let setting = ClassContext::Count { count: 50 };
    Block { class, scope: ContextScope::Contact, setting, items, is_cut: false, skipped: None }
}

fn bytes(context: &Context) -> usize {
    serde_json::to_vec(context).expect("JSON").len()
}

/// The numbers of the items that are shown, mails and then texts.
fn shown(context: &Context) -> (Vec<u128>, Vec<u128>) {
    let mails = context.email.iter().flat_map(|block| &block.items).map(|mail| mail.id.as_u128()).collect();
    let texts = context.texts.iter().flat_map(|block| &block.items).map(|text| text.id.as_u128()).collect();
    (mails, texts)
}

#[test]
fn a_block_says_how_it_was_bounded_and_nothing_else() {
    let window = Block { setting: ClassContext::Window { hours: 7 }, ..block(Class::Calls, Vec::new()) };
    let skipped = Block { skipped: Some(ContextSkipped::NoContact), ..block(Class::Email, Vec::new()) };
    let context = assemble(vec![window, skipped]);
    assert_eq!(
        serde_json::to_value(context).expect("JSON"),
        serde_json::json!({
            "email": {"scope": "contact", "items": [], "truncated": false, "mode": "count", "requested": 50,
                "skipped": "no_contact"},
            "calls": {"scope": "contact", "items": [], "truncated": false, "mode": "window", "hours": 7}
        })
    );
    assert_eq!(serde_json::to_value(assemble(Vec::new())).expect("JSON"), serde_json::json!({}));
}

#[test]
fn the_oldest_of_all_go_first_and_their_block_says_so() {
    // Three of a quarter each and a little more do not fit with a fourth.
    let quarter = MAX_CONTEXT_BYTES / 4 - 300;
    let mails = block(Class::Email, vec![(9, mail(9, quarter)), (1, mail(1, quarter))]);
    let texts = block(Class::Texts, vec![(2, text(2, quarter)), (3, text(3, quarter)), (4, text(4, 900))]);
    let context = assemble(vec![mails, texts]);
    assert_eq!(shown(&context), (vec![9], vec![2, 3, 4]));
    let truncated =
        [context.email.as_ref().map(|it| it.truncated), context.texts.as_ref().map(|it| it.truncated)];
    assert_eq!(truncated, [Some(true), Some(false)]);
}

#[test]
fn one_byte_beyond_the_bound_is_too_much() {
    let filler = |last: usize| {
        let sizes = [60_000, 60_000, 60_000, 60_000, last];
        let numbered = sizes.iter().zip(1_u8..);
        let items = numbered.map(|(size, number)| (i64::from(number), text(number.into(), *size)));
        block(Class::Texts, items.collect())
    };
    let little = bytes(&assemble(vec![filler(0)]));
    // The first item of a block has no comma, but counts as if it had.
    let most = MAX_CONTEXT_BYTES - 1;
    let all = assemble(vec![filler(most - little)]);
    assert_eq!((bytes(&all), shown(&all).1.len()), (most, 5));
    let less = assemble(vec![filler(most - little + 1)]);
    assert_eq!(shown(&less).1, [2, 3, 4, 5]);
}

#[test]
fn an_item_beyond_its_bound_is_left_out_and_hides_no_older_one() {
    let empty = Item::new(Seq(2), text(2, 0)).bytes();
    let fits = block(Class::Texts, vec![(1, text(1, 5)), (2, text(2, MAX_ITEM_BYTES - empty))]);
    let context = assemble(vec![fits]);
    assert_eq!((shown(&context).1, context.texts.expect("texts").truncated), (vec![1, 2], false));
    let beyond = block(Class::Texts, vec![(1, text(1, 5)), (2, text(2, MAX_ITEM_BYTES - empty + 1))]);
    let context = assemble(vec![beyond]);
    assert_eq!((shown(&context).1, context.texts.expect("texts").truncated), (vec![1], true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Never over the bound, always oldest first, and only the oldest of all are left out.
    #[test]
    fn a_context_keeps_its_bounds(
        items in proptest::collection::vec((any::<bool>(), 0_usize..40_000), 0..40),
        order in any::<prop::sample::Index>(),
    ) {
        let (mut mails, mut texts) = (Vec::new(), Vec::new());
        for ((is_mail, length), number) in items.iter().zip(1_i64..) {
            let id = u128::try_from(number).expect("positive");
            if *is_mail { mails.push((number, mail(id, *length))) } else { texts.push((number, text(id, *length))) }
        }
        if !texts.is_empty() {
            let places = texts.len();
            texts.rotate_left(order.index(places));
        }
        let given = items.len();
        let context = assemble(vec![block(Class::Email, mails), block(Class::Texts, texts)]);
        prop_assert!(bytes(&context) <= MAX_CONTEXT_BYTES);
        let (mails, texts) = shown(&context);
        prop_assert!(mails.is_sorted() && texts.is_sorted());
        let mut all = [mails, texts].concat();
        all.sort_unstable();
        let first = given - all.len() + 1;
        let newest: Vec<u128> = (first..=given).map(|number| number as u128).collect();
        prop_assert_eq!(&all, &newest, "the newest of all");
        let truncated = context.email.is_some_and(|it| it.truncated) || context.texts.is_some_and(|it| it.truncated);
        prop_assert_eq!(truncated, all.len() < given);
    }
}
