//! File uploads with axum: small files in memory, large ones in a temporary file, very large ones streamed. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example upload
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example upload
//! ```

use std::{env, io, net::SocketAddr};

use axum::{Router, routing::post};
use garde::Validate;
use palisade::{
    ApiError, ErrorLayer,
    observe::RequestIds,
    stack,
    validate::{Multipart, MultipartStream, Uploads, Valid},
};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// The fields of the forms that are not files.
#[derive(Deserialize, Validate)]
struct About {
    #[garde(length(chars, min = 1, max = 80))]
    title: String,
    #[garde(range(min = 1, max = 5))]
    stars: Option<u8>,
}

/// In memory: a picture is small, and the handler needs all bytes.
async fn picture(Valid(form): Valid<Multipart<About>>) -> Result<String, ApiError> {
    let mut answer = described(&form.fields);
    for file in form.files {
        let content_type = file.content_type().to_owned();
        let bytes = file.into_bytes().await.map_err(could_not_store)?;
        answer.push_str(&format!("{content_type}, {} bytes in memory\n", bytes.len()));
    }
    Ok(answer)
}

/// In a temporary file, which is deleted on drop: a document is read once, from the beginning to the end, by blocking code.
async fn document(Valid(form): Valid<Multipart<About>>) -> Result<String, ApiError> {
    let mut answer = described(&form.fields);
    for file in form.files {
        let content_type = file.content_type().to_owned();
        let mut content = file.into_file();
        let copied = tokio::task::spawn_blocking(move || io::copy(&mut content, &mut io::sink()));
        let bytes = copied.await.map_err(io::Error::other).and_then(|copied| copied);
        let bytes = bytes.map_err(could_not_store)?;
        answer.push_str(&format!("{content_type}, {bytes} bytes from a temporary file\n"));
    }
    Ok(answer)
}

/// Streamed: a film is larger than memory, so each chunk is stored as it arrives.
async fn film(Valid(mut form): Valid<MultipartStream<About>>) -> Result<String, ApiError> {
    let mut answer = String::new();
    while let Some(mut file) = form.next_file().await? {
        // A name of the server and not of the client, unknown to clients until the whole form is valid.
        let mut stored = tokio::io::sink();
        let mut bytes = 0;
        while let Some(chunk) = file.chunk().await? {
            stored.write_all(&chunk).await.map_err(could_not_store)?;
            bytes += chunk.len();
        }
        answer.push_str(&format!("{}, {bytes} bytes streamed\n", file.content_type()));
    }
    Ok(described(&form.finish().await?) + &answer)
}

/// A handler that ignores the error. The client gets it nevertheless.
async fn careless_film(Valid(mut form): Valid<MultipartStream<About>>) -> &'static str {
    while let Ok(Some(mut file)) = form.next_file().await {
        while let Ok(Some(_)) = file.chunk().await {}
    }
    let _ = form.finish().await;
    "all is well\n"
}

fn described(about: &About) -> String {
    let stars = about.stars.map_or("no".to_owned(), |stars| stars.to_string());
    format!("{}, {stars} stars\n", about.title)
}

fn could_not_store(error: io::Error) -> ApiError {
    ApiError::internal().with_source(error)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    const MB: usize = 1024 * 1024;
    let pictures = Uploads::builder()
        .max_files(2)
        .max_file_bytes(MB)
        .allow_types(["image/png", "image/jpeg"]) // recognised by their first bytes
        .require_file("picture")
        .build()?;
    let documents = Uploads::builder()
        .max_file_bytes(20 * MB)
        .allow_types(["application/pdf"])
        .insecure_allow_declared_type("text/csv") // CSV has no signature of its own
        .build()?;
    let films = Uploads::builder()
        .max_files(1)
        .max_body_bytes(8 * 1024 * MB + MB)
        .max_file_bytes(8 * 1024 * MB)
        .allow_types(["video/mp4", "video/x-matroska"])
        .build()?;

    let app = Router::new()
        .route("/pictures", post(picture).layer(pictures.layer()))
        .route("/documents", post(document).layer(documents.layer()))
        .route("/films", post(film).layer(films.clone().layer()))
        .route("/careless", post(careless_film).layer(films.layer()))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr) {
    println!(
        r#"listening on http://{address}

A picture, one without a title, and something that only says it is one
  printf '\211PNG\r\n\032\n' | curl -i http://{address}/pictures -F title=sunset -F stars=5 -F 'picture=@-;filename=a.png;type=image/png'
  printf '\211PNG\r\n\032\n' | curl -i http://{address}/pictures -F title= -F stars=9 -F 'picture=@-;filename=../a.png;type=image/png'
  echo '<script>' | curl -i http://{address}/pictures -F title=sunset -F 'picture=@-;filename=a.png;type=image/png'

A table, which is taken at its word, and a program that says it is one
  printf 'a,b\n1,2\n' | curl -i http://{address}/documents -F title=table -F 'document=@-;filename=a.csv;type=text/csv'
  curl -i http://{address}/documents -F title=table -F 'document=@/bin/ls;filename=a.csv;type=text/csv'

A film of 500 MB, of which nothing is kept; watch the memory of this process
  (printf '\0\0\0\030ftypmp42\0\0\0\0mp42isom'; head -c 500000000 /dev/zero) > film.mp4; curl -i http://{address}/films -F film=@film.mp4 -F title=film

The same to a handler that loses errors, with something that is no film
  echo '<script>' | curl -i http://{address}/careless -F title=film -F 'film=@-;filename=film.mp4;type=video/mp4'
"#
    );
}
