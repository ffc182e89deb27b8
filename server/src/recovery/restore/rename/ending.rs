//! What follows an exchange, in the run that did it or in the next one.

use super::{Indexing, Site, Stop, address};
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::indexes;
use crate::recovery::restore::in_place::{Dropped, InPlaceError, Switched};
use crate::recovery::steps::Steps;
use crate::store::databases::exchange::Note;
use crate::store::databases::{carried, lost};
use crate::store::requests::{self, Carry};

impl Site<'_> {
    /// Does what follows an exchange, in this run or in one after it. Says that the databases had been exchanged before.
    pub(super) async fn end(
        &mut self,
        note: Note,
        indexing: Indexing<'_>,
        mut steps: Steps,
        stop: Stop<'_>,
    ) -> Result<Switched, RecoveryError> {
        let ended = tokio::select! {
            ended = Box::pin(self.bring_to_its_end(note, indexing, &mut steps)) => ended,
            error = stop => Err(error),
        };
        let ended = ended.map_err(|error| InPlaceError::AfterSwitch { error: Box::new(error) })?;
        Ok(Switched { steps: steps.into_vec(), ..ended })
    }

    async fn bring_to_its_end(
        &mut self,
        mut note: Note,
        indexing: Indexing<'_>,
        steps: &mut Steps,
    ) -> Result<Switched, RecoveryError> {
        let mut notes = Vec::new();
        let mut live = address(self.url).connect_unlimited().await?;
        self.tell("lost");
        let previous = address(&self.url.with_database(&self.names.previous));
        let lost = match previous.connect_unlimited().await {
            Ok(mut previous) => {
                let carrying = carried::carry_rest(&mut previous, &mut live);
                steps.time("carry", carrying).await?;
                requests::carry(&mut previous, &mut live, Carry::Ends).await?;
                steps.time("lost", lost::lost(&mut previous, &mut live)).await?
            }
            Err(error) => {
                notes.push(format!(
                    "{} cannot be read, so it is not known what is lost: {error}",
                    self.names.previous
                ));
                Vec::new()
            }
        };
        reach(FaultPoint::LostListed);
        self.server.drop_outgoing(&self.names).await?;
        let serving_seconds = self.begun.elapsed().as_secs_f64();
        self.tell("index");
        let without = if indexing.now {
            let built = indexes::build(self.url, &note.models, indexing.memory, indexing.jobs);
            steps.time("index", built).await?;
            Vec::new()
        } else {
            indexes::names(self.url, &note.models).await?
        };
        reach(FaultPoint::VectorsIndexed);
        if !without.is_empty() {
            notes.push(format!(
                "build the vector indexes by `agentfs-server admin embeddings index MODEL` ({})",
                without.join(", ")
            ));
        }
        note.is_finished = true;
        self.server.note(&self.names, &note).await?;
        reach(FaultPoint::InPlaceFinished);
        Ok(Switched {
            id: note.id.to_string(),
            backup: note.backup,
            redone: false,
            switched_at: note.switched_at,
            switch_seconds: 0.0,
            previous_until: note.previous_until,
            had_switched: true,
            lost,
            steps: Vec::new(),
            serving_seconds,
            indexed_seconds: without.is_empty().then(|| self.begun.elapsed().as_secs_f64()),
            notes,
        })
    }

    pub(super) async fn drop_kept(&mut self, note: &Note) -> Result<Dropped, RecoveryError> {
        let bytes = self.server.bytes(&self.names.previous).await?;
        self.server.drop(&self.names.previous).await?;
        Ok(Dropped { restore: Some(note.id.to_string()), bytes })
    }
}
