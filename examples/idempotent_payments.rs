//! Payments that are made once, however often a client sends them. The record of each response is stored in the transaction
//! of its payment, in SQLite. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example idempotent_payments
//! PAYMENTS_DB=payments.db cargo run --example idempotent_payments   # kill it during a payment, and start it again
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example idempotent_payments
//! ```

use std::{
    env,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use palisade::{
    ApiError, BoxError, BoxFuture, Clock, ErrorLayer, Principal, SystemClock, WithAuth,
    auth::{ApiKey, ApiKeys, InMemoryApiKeys},
    idempotency::{Claim, ClaimStore, Idempotency, IdempotencyKey, Reservation, Retention},
    observe::RequestIds,
    stack,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, task::spawn_blocking};
use uuid::Uuid;

/// Longer than a payment takes. After it, a payment that a crash has interrupted is made by the next attempt.
const LEASE: Duration = Duration::from_secs(5);

/// Payments and claims in one database, so that one transaction can write both.
#[derive(Clone)]
struct Database(Arc<Mutex<Connection>>);

impl Database {
    fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, caller TEXT NOT NULL, cents INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS claims (
                 key TEXT PRIMARY KEY, token TEXT NOT NULL, expires INTEGER NOT NULL, record BLOB
             );",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a payment and stores the record of its response, both or neither.
    fn pay(
        &self,
        caller: &str,
        cents: u32,
        key: &IdempotencyKey,
    ) -> Result<http::Response<Bytes>, BoxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO payments (caller, cents) VALUES (?, ?)",
            params![caller, cents],
        )?;
        let body = json!({ "id": transaction.last_insert_rowid(), "cents": cents });
        let response = http::Response::builder()
            .status(201)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))?;
        let claims = transaction.execute(
            "UPDATE claims SET record = ?, expires = ? WHERE key = ? AND token = ?",
            params![&*key.record(&response), now() + DAY, key.store_key(), key.token()],
        )?;
        if claims != 1 {
            // Dropping the transaction rolls the payment back.
            return Err("the lease has expired, and another attempt has the claim".into());
        }
        transaction.commit()?;
        Ok(response)
    }
}

/// Seconds since 1970, as the database stores times.
fn now() -> u64 {
    SystemClock.unix().as_secs()
}

const DAY: u64 = 24 * 60 * 60;

impl ClaimStore for Database {
    fn claim(&self, key: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let (database, key) = (self.clone(), key.to_owned());
        let token = Uuid::new_v4().to_string();
        Box::pin(async move {
            spawn_blocking(move || {
                let mut connection = database.connection();
                // Immediate: of two processes that claim one key, the second waits.
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute(
                    "DELETE FROM claims WHERE key = ? AND expires <= ?",
                    params![key, now()],
                )?;
                let held: Option<Option<Vec<u8>>> = transaction
                    .query_row("SELECT record FROM claims WHERE key = ?", [&key], |row| row.get(0))
                    .optional()?;
                if held.is_none() {
                    transaction.execute(
                        "INSERT INTO claims (key, token, expires) VALUES (?, ?, ?)",
                        params![key, token, now() + LEASE.as_secs()],
                    )?;
                }
                transaction.commit()?;
                drop(connection);
                Ok(match held {
                    None => Claim::First(Box::new(Row { database, key, token })),
                    Some(None) => Claim::InProgress,
                    Some(Some(record)) => Claim::Completed(record.into()),
                })
            })
            .await?
        })
    }
}

/// A claimed row.
struct Row {
    database: Database,
    key: String,
    token: String,
}

impl Reservation for Row {
    /// The transaction of a payment has stored its record already. Other responses, such as a 404, are stored here.
    fn complete(self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async move {
            spawn_blocking(move || {
                self.database.connection().execute(
                    "UPDATE claims SET record = ?, expires = ? WHERE key = ? AND token = ? AND record IS NULL",
                    params![&*record, now() + DAY, self.key, self.token],
                )?;
                Ok(())
            })
            .await?
        })
    }

    fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let released = self.database.connection().execute(
            "DELETE FROM claims WHERE key = ? AND token = ? AND record IS NULL",
            params![self.key, self.token],
        );
        if let Err(error) = released {
            tracing::warn!(%error, "a claim could not be released; it holds until its lease expires");
        }
    }
}

#[derive(Deserialize)]
struct Payment {
    cents: u32,
    /// Seconds that the payment takes, to try what happens meanwhile.
    #[serde(default)]
    takes: u64,
}

async fn pay(
    State(database): State<Database>,
    caller: Principal,
    key: IdempotencyKey,
    Json(payment): Json<Payment>,
) -> Result<Response, ApiError> {
    tokio::time::sleep(Duration::from_secs(payment.takes)).await;
    let paid = spawn_blocking(move || database.pay(caller.subject(), payment.cents, &key)).await;
    let response = paid
        .map_err(BoxError::from)
        .and_then(|paid| paid)
        .map_err(|error| ApiError::unavailable().with_source(error))?;
    Ok(response.map(Body::from))
}

async fn total(State(database): State<Database>) -> Result<String, ApiError> {
    let total = "SELECT count(*), coalesce(sum(cents), 0) FROM payments";
    let (payments, cents): (u64, u64) = database
        .connection()
        .query_row(total, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| ApiError::unavailable().with_source(error))?;
    Ok(format!("{payments} payments, {cents} cents\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let database =
        Database::open(&env::var("PAYMENTS_DB").unwrap_or_else(|_| ":memory:".to_owned()))?;
    let idempotency = Idempotency::new(database.clone()).required().build()?;

    let keys = InMemoryApiKeys::new();
    let auth = ApiKeys::builder("acme", keys.clone()).build()?;
    // New keys at each start. Idempotency keys belong to the caller, so they outlive an API key.
    let ada = ApiKey::generate("acme", Principal::new("ada"))?;
    let grace = ApiKey::generate("acme", Principal::new("grace"))?;
    keys.insert(ada.record().clone());
    keys.insert(grace.record().clone());

    let app = Router::new()
        // Inside the authentication, because a key belongs to a caller.
        .route("/payments", post(pay).layer(idempotency).with_auth(&auth))
        .route("/payments", get(total).with_auth(&auth))
        .fallback(|| async { ApiError::not_found() })
        .with_state(database)
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3021".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, ada.plaintext(), grace.plaintext());
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, ada: &str, grace: &str) {
    println!(
        r##"listening on http://{address}

ada key: {ada}
grace key: {grace}

Paste this first: `pay KEY_OF_THE_CALLER IDEMPOTENCY_KEY PAYMENT`
  pay() {{
    curl -i http://{address}/payments -H "X-Api-Key: $1" -H "Idempotency-Key: $2" -H 'Content-Type: application/json' -d "$3"
  }}

A payment, and the same one again: the second response is the first one, with `Idempotent-Replayed: true`
  pay {ada} order-1 '{{"cents":1000}}'
  pay {ada} order-1 '{{"cents":1000}}'

Another payment with the same key: 422. The same key of another caller: another payment
  pay {ada} order-1 '{{"cents":2000}}'
  pay {grace} order-1 '{{"cents":1000}}'

Without a key: 400
  curl -i http://{address}/payments -H "X-Api-Key: {ada}" -H 'Content-Type: application/json' -d '{{"cents":1000}}'

A payment that takes a second, twice at the same time: 409 for one of them
  pay {ada} order-2 '{{"cents":1000,"takes":1}}' & pay {ada} order-2 '{{"cents":1000,"takes":1}}'; wait

What was paid
  curl http://{address}/payments -H "X-Api-Key: {ada}"
"##
    );
}
