use palisade::cors::Cors;

pub fn case() {
    let _ = palisade::stack().cors(Cors::builder().allow_origin("https://app.example.com"));
}
