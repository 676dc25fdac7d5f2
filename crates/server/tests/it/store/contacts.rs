//! The address book on two nodes: its rules hold on both, and each comes to know what the other has changed.

use inkhook_server::domain::contact::{Card, MAX_CONTACTS, Point};
use inkhook_server::domain::number::OrganizationNo;
use inkhook_server::store::contacts::{CreateContact, NewContact};
use inkhook_server::store::facts::Names;

use super::nodes::nodes;
use crate::support::invariants;
use crate::support::store::StoreBench;

fn with(organization: OrganizationNo, address: &str) -> NewContact {
    let point = Point { label: None, value: address.into(), is_primary: false };
    NewContact { organization, created_by: None, card: Card { emails: vec![point], ..Card::default() } }
}

/// How many contacts a node finds by this address for its events.
async fn known(node: &StoreBench, organization: OrganizationNo, address: &str) -> usize {
    let names = Names { addresses: vec![address.into()], numbers: Vec::new() };
    node.store().people(organization, names).await.expect("it reads").contacts.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_two_nodes_write_at_once_is_one_contacts() {
    let Some((one, other, help)) = nodes().await else { return };
    for round in 0..20 {
        let address = format!("ana{round}@client.test");
        let (first, second) = tokio::join!(
            one.store().create_contact(with(help.organization, &address)),
            other.store().create_contact(with(help.organization, &address)),
        );
        let made = [first.expect("stored"), second.expect("stored")];
        let created = made.iter().filter(|made| matches!(made, CreateContact::Created(_))).count();
        let taken = made.iter().filter(|made| matches!(made, CreateContact::Taken(_))).count();
        assert_eq!((created, taken), (1, 1), "{made:?}");
    }
    assert_eq!(one.number("SELECT count(*) FROM contacts"), 20);
    invariants::check(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_place_in_a_book_is_one_contacts() {
    let Some((one, other, help)) = nodes().await else { return };
    let organization = help.organization;
    one.books.run(&format!(
        "INSERT INTO contacts (id, organization_id, sort_key, searched, card, memories, created_ms, updated_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         SELECT randomblob(16), {}, '', '', '{{}}', '[]', 1, 1 FROM n",
        MAX_CONTACTS - 1,
        organization.0
    ));
    let (first, second) = tokio::join!(
        one.store().create_contact(with(organization, "ana@client.test")),
        other.store().create_contact(with(organization, "lee@client.test")),
    );
    let made = [first.expect("stored"), second.expect("stored")];
    assert!(made.contains(&CreateContact::TooMany), "{made:?}");
    assert_eq!(one.number("SELECT count(*) FROM contacts"), MAX_CONTACTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_changes_the_other_knows_when_it_has_said_that_it_is_there() {
    let Some((one, other, help)) = nodes().await else { return };
    let (organization, ana) = (help.organization, "ana@client.test");
    let beat = async || other.store().beat("other".into(), true).await.expect("it is there");
    beat().await;
    assert_eq!(known(&other, organization, ana).await, 0, "and it remembers that there is nobody");
    let made = one.store().create_contact(with(organization, ana)).await.expect("stored");
    let CreateContact::Created(contact) = made else { panic!("{made:?}") };
    assert_eq!(known(&one, organization, ana).await, 1, "at once where it was made");
    beat().await;
    assert_eq!(known(&other, organization, ana).await, 1);
    assert!(one.store().delete_contact(organization, contact.id).await.expect("stored"));
    assert_eq!(known(&one, organization, ana).await, 0);
    beat().await;
    assert_eq!(known(&other, organization, ana).await, 0);
}
