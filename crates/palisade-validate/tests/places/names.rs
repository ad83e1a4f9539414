//! Names of fields and variants.

use super::*;

#[test]
fn rule_issues_use_the_camel_case_names_of_the_client() {
    let body = r#"{"userName":"","homeAddress":{"street-name":"x"},"type":"",
        "knownDevices":[{"SERIAL_NUMBER":"ok"},{"SERIAL_NUMBER":"é"}]}"#;
    assert_eq!(
        json::<Account>(body),
        [
            "homeAddress.street-name too_short",
            "knownDevices[1].SERIAL_NUMBER invalid_format",
            "seatCount too_small",
            "type too_short",
            "userName too_short",
        ]
    );
    let body = r#"{"userName":1,"homeAddress":{},"knownDevices":[{}],"type":"user"}"#;
    assert_eq!(
        json::<Account>(body),
        [
            "homeAddress.street-name missing",
            "knownDevices[0].SERIAL_NUMBER missing",
            "userName wrong_type",
        ]
    );
}

#[test]
fn renamed_field_is_found_for_rule_issues() {
    assert_eq!(
        json::<Renamed>(r#"{"title":"much too long","kilos":99,"labels":["a","b","c","d"]}"#),
        ["kilos too_big", "labels too_long", "title too_long"]
    );
}

#[test]
fn flattened_fields_are_reported_at_their_json_path() {
    assert_eq!(
        json::<Listing>(r#"{"title":"","pageNumber":0,"pageSize":101}"#),
        // garde calls them `page.page_number` and `page.page_size`.
        [" too_big", " too_short", " too_small"]
    );
    assert_eq!(
        json::<Listing>(r#"{"title":"a","pageNumber":"one","pageSize":true,"exact":false}"#),
        ["pageNumber wrong_type"]
    );
    // serde buffers such a struct, and says one thing about it.
    assert_eq!(json::<Listing>("{}"), ["title missing"]);
    assert_eq!(
        json::<Listing>(r#"{"title":5,"pageNumber":"x"}"#),
        ["pageNumber wrong_type", "title wrong_type"]
    );
}

#[test]
fn flattened_struct_can_be_read_from_a_query() {
    let listing: Listing =
        Validation::new().query("title=5&pageNumber=2&pageSize=20&exact=true").unwrap();
    assert_eq!((&*listing.title, listing.page.page_number, listing.page.page_size), ("5", 2, 20));
    assert!(listing.page.exact);
    assert_eq!(query::<Listing>("title=a&pageNumber=two&pageSize=0"), ["pageNumber wrong_type"]);
    assert_eq!(query::<Listing>("pageSize=300&title="), ["pageSize wrong_type"]);
}

#[test]
fn variant_is_part_of_the_path_if_it_is_in_the_json() {
    assert_eq!(
        json::<Order>(
            r#"{"payment":{"card":{"number":"1"}},"shapes":[{"kind":"circle","radiusMm":0}]}"#
        ),
        ["payment.card.number too_short", "shapes[0] too_small"]
    );
    assert_eq!(
        json::<Order>(r#"{"payment":{"invoice":{"street-name":""}},"shapes":[{"kind":"dot"}]}"#),
        ["payment.invoice.street-name too_short"]
    );
    assert_eq!(
        json::<Order>(
            r#"{"payment":"cash","shapes":[{"kind":"square"},{"kind":"circle","radiusMm":"x"},{}]}"#
        ),
        ["payment invalid_option", "shapes[0].kind invalid_option"]
    );
}

#[test]
fn map_keys_may_be_numbers() {
    let body = r#"{"email":"a@b.cc","address":"::1","count":1,"after":"x","by_name":{},"by_number":{"7":true}}"#;
    assert_eq!(json::<Typed>(body), ["after wrong_type"]);
    assert!(Validation::new().json::<Typed>(body.replace("\"x\"", "1").as_bytes()).is_ok());
}
