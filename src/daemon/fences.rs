//! The tenants that this daemon holds: one fence each, taken once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::store::{Fence, Store, StoreError};

/// Fences by tenant, shared by all that commit: taking a tenant a second time would shut out the
/// first taker.
#[derive(Debug, Default)]
pub struct Fences(Mutex<BTreeMap<Arc<str>, Fence>>);

impl Fences {
    /// The fence of `tenant`, which is taken over if it is not held yet.
    pub async fn of(&self, store: &dyn Store, tenant: &Arc<str>) -> Result<Fence, StoreError> {
        let mut held = self.0.lock().await;
        if let Some(fence) = held.get(tenant) {
            return Ok(fence.clone());
        }
        let fence = store.fence(tenant.clone()).await?;
        held.insert(tenant.clone(), fence.clone());
        Ok(fence)
    }

    /// Every fence that is held, by tenant.
    pub async fn all(&self) -> BTreeMap<Arc<str>, Fence> {
        self.0.lock().await.clone()
    }
}
