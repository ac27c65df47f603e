//! Tests of a conversation's settings.

use super::{conv, memory};
use crate::store::ConversationSettings;

#[tokio::test]
async fn tools_and_model_are_kept_apart_from_each_other_and_from_other_conversations() {
    let store = memory().await;
    assert_eq!(store.conversation(&conv()).await.unwrap(), ConversationSettings::default());
    let tools = ["search_logs".to_owned(), "clear_cache".to_owned()];
    store.conversation_tools(&conv(), &tools).await.unwrap();
    store.conversation_model(&conv(), Some("qwen3:4b")).await.unwrap();
    let kept = store.conversation(&conv()).await.unwrap();
    assert_eq!(kept, ConversationSettings { tools: tools.to_vec(), model: Some("qwen3:4b".into()) });
    store.conversation_model(&conv(), None).await.unwrap();
    assert_eq!(store.conversation(&conv()).await.unwrap().model, None);
    assert_eq!(store.conversation(&conv()).await.unwrap().tools, tools);
    assert_eq!(store.conversation(&"console:ben:1".into()).await.unwrap(), ConversationSettings::default());
}
